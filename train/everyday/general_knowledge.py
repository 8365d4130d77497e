"""Lists questions that the model answers without a function, each in a few wordings and with short answers."""

from __future__ import annotations

FACTS: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("Why is the sky blue?", "Tell me why the sky is blue."),
        "Air scatters blue light more than red light, so we see blue from all directions.",
    ),
    (
        ("What is photosynthesis?", "Explain photosynthesis in one sentence."),
        "Plants use light to turn water and carbon dioxide into sugar and oxygen.",
    ),
    (("Who wrote Hamlet?", "Which author wrote Hamlet?"), "Hamlet was written by William Shakespeare."),
    (("How many legs does a spider have?", "how many legs do spiders have"), "Spiders have eight legs."),
    (("What is the capital of France?", "Name the capital of France."), "The capital of France is Paris."),
    (
        ("What's the largest planet in the solar system?", "Which planet is the biggest?"),
        "Jupiter is the largest planet of the solar system.",
    ),
    (("How many continents are there?", "Tell me the number of continents."), "There are seven continents."),
    (
        ("What does a vegan eat?", "What do vegans not eat?"),
        "Vegans eat plants only: no meat, fish, milk, eggs or honey.",
    ),
    (
        ("Why do cats purr?", "Do cats only purr when they are happy?"),
        "Cats purr when they feel well, and also to calm themselves.",
    ),
    (
        ("What is the difference between weather and climate?",),
        "Weather is what happens today; climate is the average over many years.",
    ),
    (("Explain what an API is.", "What is an API?"), "An API is a set of rules by which one program can use another."),
    (("What is a noun?", "Explain what a noun is."), "A noun is a word for a person, a place, a thing or an idea."),
    (
        ("How do I boil an egg?", "What's the best way to boil an egg?"),
        "Put the egg into boiling water for six to ten minutes, then cool it in cold water.",
    ),
    (
        ("Give me a tip for better sleep.", "How can I sleep better?"),
        "Go to bed at the same time every day and leave your phone in another room.",
    ),
    (
        ("Tell me a fun fact.", "Do you know a fun fact?"),
        "Honey hardly ever spoils: jars thousands of years old were still fit to eat.",
    ),
    (
        ("Tell me a joke.", "Do you know any jokes?", "Make me laugh."),
        "Why did the bicycle fall over? Because it was two-tired.",
    ),
    (
        ("What's the meaning of life?", "What is the meaning of life?"),
        "People have found many answers: love, work, friends, and being kind.",
    ),
    (("How many minutes does an hour have?", "how many minutes are in an hour"), "An hour has 60 minutes."),
    (
        ("Is a tomato a fruit?", "Are tomatoes fruits or vegetables?"),
        "To a botanist a tomato is a fruit; in the kitchen it is a vegetable.",
    ),
    (("What do bees make?", "What do bees produce?"), "Bees make honey and wax."),
    (
        ("Why do we have seasons?", "What causes the seasons?"),
        "The axis of the Earth is tilted, so each half gets more sun for a part of the year.",
    ),
    (("Which is heavier, a kilo of feathers or a kilo of iron?",), "Both weigh the same: one kilo."),
    (
        ("What is gravity?", "Explain gravity simply."),
        "Gravity is the pull between masses. It keeps us on the ground and planets on their paths.",
    ),
    (("Who painted the Mona Lisa?", "The Mona Lisa was painted by whom?"), "Leonardo da Vinci painted the Mona Lisa."),
    (
        ("How do vaccines work?", "What does a vaccine do?"),
        "A vaccine shows the body a harmless part of a germ, so that it learns to fight it.",
    ),
    (("What's a good name for a dog?", "Can you suggest a name for my puppy?"), "How about Biscuit, Luna or Max?"),
    (
        ("How can I learn a language faster?", "Any tips for learning a language?"),
        "Practise a little every day, speak from the start and read what you enjoy.",
    ),
    (("What's the opposite of hot?",), "The opposite of hot is cold."),
    (
        ("Why do leaves change color in autumn?", "Why do leaves turn red in fall?"),
        "Trees take back their green chlorophyll, and the yellow and red colors show.",
    ),
    (("Are penguins birds?", "Is a penguin a bird?"), "Yes, penguins are birds, though they cannot fly."),
    (
        ("What is the boiling point of water?", "At what temperature does water boil?"),
        "At sea level water boils at 100 degrees Celsius.",
    ),
    (
        ("What is machine learning?", "Explain machine learning to a child."),
        "A computer looks at many examples and learns to guess well on new ones.",
    ),
    (
        ("How do I make friends in a new city?",),
        "Join a club or a course, say yes to invitations, and invite people yourself.",
    ),
    (
        ("What should I do before a job interview?", "Any advice for a job interview?"),
        "Read about the company, practise a few answers and sleep well the night before.",
    ),
    (("What is the speed of light?", "How fast is light?"), "Light travels at about 300,000 kilometers a second."),
    (
        ("Who was Marie Curie?", "What is Marie Curie known for?"),
        "Marie Curie was a scientist who studied radioactivity and won two Nobel prizes.",
    ),
    (("What does 'carpe diem' mean?",), "It is Latin for 'seize the day': enjoy the present."),
    (
        ("What is a haiku?", "Explain what a haiku is."),
        "A haiku is a Japanese poem of three lines with five, seven and five syllables.",
    ),
    (("How far away is the moon?", "What's the distance to the moon?"), "The moon is about 384,000 kilometers away."),
    (
        ("Which animal is the fastest on land?", "What's the fastest land animal?"),
        "The cheetah is the fastest animal on land.",
    ),
    (
        ("What's your favorite color?", "Do you have a favorite color?"),
        "I have no eyes to see colors, but I like the idea of blue.",
    ),
    (("Can you feel pain?", "Do you have feelings?"), "No, I am a program and have no feelings."),
    (("How old are you?", "When were you born?"), "I am a program, so I have no age."),
    (
        ("Where do you live?", "Where are you from?"),
        "I live nowhere in particular: I am a program that runs on a computer.",
    ),
    (("Do you sleep?", "Are you ever tired?"), "No, I never sleep. I am always here when you need me."),
    (("Is chess harder than checkers?",), "Most people find chess harder, since its pieces move in more ways."),
    (
        ("Why is exercise good for me?", "Why should I exercise?"),
        "It strengthens heart and muscles, lifts the mood and helps you sleep.",
    ),
    (
        ("What is inflation?", "Explain inflation briefly."),
        "Inflation means that prices rise, so the same money buys less.",
    ),
    (("How do magnets work?",), "In a magnet many tiny fields point the same way and add up to a force."),
    (("What's the largest ocean?", "Which ocean is the biggest?"), "The Pacific is the largest ocean."),
    (("Name three primary colors.", "What are the primary colors?"), "Red, yellow and blue."),
    (("How many days are there in a leap year?",), "A leap year has 366 days."),
    (("What's a polite way to say no?",), "You could say: 'Thank you for asking, but I can't this time.'"),
    (("Give me a compliment.", "Say something nice."), "You ask good questions, and you ask them kindly."),
    (
        ("What is an atom?", "What are atoms?"),
        "An atom is the smallest piece of an element: a nucleus with electrons around it.",
    ),
    (("Should I drink coffee in the evening?",), "Better not: coffee late in the day can keep you awake."),
    (
        ("What's the difference between a fruit and a berry?",),
        "A berry is one kind of fruit, one that grows from a single ovary.",
    ),
    (
        ("How do I stay motivated?", "How can I motivate myself?"),
        "Set small goals, begin with five minutes and reward yourself.",
    ),
    (("What language is utterance in Brazil?",), "People in Brazil speak Portuguese."),
    (("Who invented the telephone?",), "Alexander Graham Bell is usually named as the inventor of the telephone."),
)
