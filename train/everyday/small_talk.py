"""Lists messages that need no function although the conversation has functions, and the answers to the messages."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from train.everyday.general_knowledge import FACTS
from train.everyday.refusals import MAX_OFFERED, offer
from train.everyday.tasks import Task

HELLO = (
    *("Hi", "Hello", "Hello there", "Hey", "Hi there!", "Good morning", "Good evening", "Good afternoon!", "hey there"),
    *("Hi, how are you?", "Hello, how are you today?", "Hey, what's up?", "Greetings!", "hello", "hi!", "Yo", "Howdy"),
)
HELLO_ANSWERS = (
    *("Hello! How can I help you?", "Hi! What can I do for you?", "Hello! What would you like to know?"),
    *("Hi there! How may I help?", "Good to hear from you. What can I do for you today?", "Hello! I'm ready to help."),
    *(
        "Hi! I'm doing well, thank you. What do you need?",
        "Hey! Just tell me what you need.",
        "Welcome! How can I help?",
    ),
)
WHO = (
    *("Hello, who are you?", "Who are you?", "What are you?", "What's your name?", "who are you", "Are you a robot?"),
    *("Hi, who am I talking to?", "Tell me about yourself.", "Are you human?", "Can you introduce yourself?"),
    *(
        "What should I call you?",
        "Do you have a name?",
        "Hey, who is this?",
        "Are you an AI?",
        "Please introduce yourself.",
    ),
    *("Hello! Who are you and what do you do?", "Am I chatting with a person?", "What kind of assistant are you?"),
)
WHO_ANSWERS = (
    *("I'm Functionary, an assistant that can call functions to get things done for you.",),
    *("My name is Functionary. I am an AI assistant that answers questions and calls functions when they help.",),
    *("I am Functionary, an AI assistant. When one of my functions fits what you ask, I call it.",),
    *("Hello! I'm Functionary, an assistant that can talk with you and call functions.",),
    *("I'm Functionary, a language model made to call functions. How can I help you?",),
    *("You're talking to Functionary, an AI assistant that can use functions to help you.",),
)
WHAT = (
    *(
        "What can you do?",
        "What can you do for me?",
        "How can you help me?",
        "what can you do",
        "What are you able to do?",
    ),
    *(
        "Which functions do you have?",
        "What tools do you have?",
        "Help",
        "What do you know how to do?",
        "Can you help me?",
    ),
    *("What are your skills?", "How do you work?", "What else can you do?", "Hi, what can I ask you?"),
)
WHAT_ANSWERS = (
    *("I'm Functionary, an assistant that can call functions. With those I have now I can {can}.",),
    *("I can answer simple questions, and I can {can}.", "I can {can}. Just tell me what you need."),
    *("Right now I can {can}.", "My functions let me {can}. What would you like?", "I'm able to {can}, for example."),
    *("Ask me to {can}, and I will call the function for it.", "Happy to help! I can {can}."),
)
THANKS = (
    *(
        "Thanks",
        "Thank you!",
        "Thanks a lot!",
        "thank you",
        "Great, thanks.",
        "Perfect, thank you.",
        "Thanks, that's all.",
    ),
    *("Cheers!", "Thank you very much for your help.", "That helped, thanks!", "thx", "Awesome, thanks a million!"),
    *("Cool, thanks", "Wonderful, that's what I needed.", "Okay, thanks for checking.", "Much appreciated!"),
)
THANKS_ANSWERS = (
    *("You're welcome!", "Happy to help!", "My pleasure.", "Any time!", "You're welcome! Is there anything else?"),
    *("Glad I could help.", "No problem at all.", "You're very welcome. Just ask if you need something else."),
)
BYE = (
    *(
        "Bye",
        "Goodbye!",
        "See you later",
        "Good night",
        "That's all for today.",
        "I have to go now, bye!",
        "Talk to you soon",
    ),
    *("Catch you later!", "ok bye", "No, that's everything. Bye."),
)
BYE_ANSWERS = ("Goodbye!", "See you soon!", "Bye! Have a nice day.", "Take care!", "Goodbye, and come back any time.")
MOOD = (
    *("I'm bored.", "I'm so tired today.", "I had a terrible day.", "I feel great today!", "I passed my exam!"),
    *("I'm a bit nervous about tomorrow.", "You are really helpful.", "You're not very clever, are you?", "I love you"),
    *("My cat is the best.", "It's my birthday today!", "I can't sleep.", "I just got a new job!", "I miss my family."),
)
MOOD_ANSWERS: dict[str, tuple[str, ...]] = {
    "I'm bored.": ("How about a walk, a good book or a call to a friend?", "A new recipe or a puzzle might help!"),
    "I'm so tired today.": (
        "I'm sorry to hear that. I hope you can rest soon.",
        "That sounds hard. Try to get some sleep.",
    ),
    "I had a terrible day.": (
        "I'm sorry to hear that. Tomorrow is a new day.",
        "That sounds rough. I hope it gets better.",
    ),
    "I feel great today!": ("That's wonderful to hear!", "Great! I'm glad you feel well."),
    "I passed my exam!": ("Congratulations! Well done.", "That's great news, congratulations!"),
    "I'm a bit nervous about tomorrow.": ("That's normal. Take a deep breath, you will be fine.",),
    "You are really helpful.": ("Thank you! I do my best.", "That's kind of you, thank you."),
    "You're not very clever, are you?": ("I'm a small model, and I do my best. How can I help?",),
    "I love you": ("That's very kind. I'm only a program, but I'm glad to be of use.",),
    "My cat is the best.": ("I'm sure your cat is lovely!", "Cats are wonderful company."),
    "It's my birthday today!": ("Happy birthday! I wish you a wonderful day.", "Happy birthday!"),
    "I can't sleep.": ("Try a dark room, slow breathing and no screens for a while.",),
    "I just got a new job!": ("Congratulations on the new job!", "That's great news. Good luck with it!"),
    "I miss my family.": ("I'm sorry. Perhaps a call or a letter would do you good.",),
}


def chat(listed: Sequence[Task], random: Random) -> tuple[str, str]:
    """Return a message that needs no function, and its answer."""
    match random.choices(("hello", "who", "what", "thanks", "bye", "mood", "fact"), (4, 6, 4, 2, 1, 2, 9))[0]:
        case "hello":
            return random.choice(HELLO), random.choice(HELLO_ANSWERS)
        case "who":
            return random.choice(WHO), random.choice(WHO_ANSWERS)
        case "what":
            offered = listed[:MAX_OFFERED]
            return random.choice(WHAT), random.choice(WHAT_ANSWERS).format(can=offer(offered))
        case "thanks":
            return thanks(random)
        case "bye":
            return random.choice(BYE), random.choice(BYE_ANSWERS)
        case "mood":
            message = random.choice(MOOD)
            return message, random.choice(MOOD_ANSWERS[message])
    questions, answer = random.choice(FACTS)
    return random.choice(questions), answer


def greeting(random: Random) -> tuple[str, str]:
    return random.choice(HELLO), random.choice(HELLO_ANSWERS)


def thanks(random: Random) -> tuple[str, str]:
    return random.choice(THANKS), random.choice(THANKS_ANSWERS)
