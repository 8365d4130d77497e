"""Lists words and titles that several modules of fields/ use."""

from __future__ import annotations

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November"),
    *("December",),
)
ROOMS = (
    *("kitchen", "living room", "bedroom", "bathroom", "office", "hallway", "dining room", "garage", "nursery"),
    *("guest room", "attic", "basement", "kids' room", "laundry room", "study", "balcony", "conservatory", "workshop"),
    *("playroom",),
)
EVENTS = (
    *("dentist appointment", "team meeting", "lunch with Ana", "piano lesson", "parents' evening", "yoga class"),
    *("budget review", "coffee with Sam", "project kickoff", "haircut", "book club", "doctor's visit", "sales call"),
    *("board meeting", "football practice", "job interview", "design workshop", "dinner with the neighbours"),
    *("vet appointment", "parent-teacher conference", "dance class", "product launch", "housewarming party"),
    *("tax consultation", "swimming lesson", "choir rehearsal", "performance review", "school play"),
    *("quarterly planning", "flat viewing", "hearing test", "game night", "webinar", "driving lesson", "wine tasting"),
    *("onboarding session", "birthday brunch", "blood donation", "garage sale", "family reunion"),
)
CHORES = (
    *("water the plants", "call the dentist", "pay the rent", "take out the bins", "buy milk", "book the car service"),
    *("renew my passport", "feed the cat", "send the invoice", "pick up the dry cleaning", "return the library books"),
    *("charge the camera", "order new glasses", "clean the oven", "cancel the gym membership", "walk the dog"),
    *("vacuum the living room", "defrost the freezer", "change the bed sheets", "descale the kettle"),
    *("post the birthday card", "back up the laptop", "fix the bike", "iron my shirts", "mow the lawn"),
    *("take my vitamins", "check the tyre pressure", "reply to Mrs. Kaya", "clean the gutters", "refill the printer"),
    *("sign the contract", "buy stamps", "test the smoke alarm", "empty the dishwasher", "water the tomatoes"),
    *("prepare the slides", "pay the electricity bill", "collect the parcel", "bleed the radiators"),
    *("do the tax return",),
)
MESSAGES = (
    *("I'm running ten minutes late", "the meeting is moved to noon", "happy birthday", "see you at the station"),
    *("thanks for your help yesterday", "dinner is at eight", "I can't make it tonight", "please call me back"),
    *("the parcel has arrived", "don't forget the keys", "I'll be home soon", "good luck with the exam"),
    *("the plumber comes on Thursday", "we need more coffee", "the train is delayed", "I booked the tickets"),
    *("I left the keys under the mat", "congratulations on the new job", "the meeting room is booked"),
    *("we're out of printer paper", "I'll bring dessert", "lunch is on me", "the doctor says everything is fine"),
    *("please lock the back door", "our flight lands at six", "I found your umbrella"),
    *("the rehearsal starts at seven", "let's talk tomorrow", "the cake is in the oven", "get well soon"),
    *("the wifi is down again", "I passed the test", "see you at Grandma's", "the babysitter is here"),
    *("thanks for dinner", "the car is fixed", "you were right about the film", "there's no need to wait for me"),
    *("the concert was amazing",),
)
PHRASES = (
    *("good morning", "where is the train station", "how much does this cost", "thank you very much", "see you soon"),
    *("I would like a coffee", "the bill, please", "my name is Tara", "do you speak English", "I am lost"),
    *("have a nice day", "the weather is lovely", "can you help me", "a table for two, please", "I love this city"),
    *("could I have the menu?", "what time does the shop close?", "I'm allergic to nuts", "how far is the beach?"),
    *("nice to meet you", "where can I buy a ticket?", "call an ambulance", "I don't understand"),
    *("is this seat taken?", "the food was delicious", "I need a doctor", "what a beautiful view", "happy new year"),
    *("could you speak more slowly?", "keep the change", "where are you from?", "sweet dreams"),
    *("I'm looking for a pharmacy", "no problem", "have a safe trip"),
)
TOPICS = (
    *("electric cars", "solar energy", "the history of chess", "sourdough bread", "bird migration", "black holes"),
    *("the Roman Empire", "remote work", "jazz guitar", "coral reefs", "urban gardening", "the Olympic Games"),
    *("artificial intelligence", "sleep and memory", "mountain railways", "medieval castles", "space telescopes"),
    *("quantum computers", "the French Revolution", "fermented food", "deep sea fish", "houseplants"),
    *("street photography", "wind power", "vertical farming", "the stock market", "minimalism", "marathon training"),
    *("ancient Egypt", "honey bees", "electric bikes", "wine making", "cyber security", "northern lights"),
    *("tiny houses", "the human brain", "woodworking", "climate change", "volcanoes", "board games"),
    *("public transport", "nutrition for athletes", "the moon landing", "string theory", "beekeeping", "origami"),
    *("modern architecture", "recycling", "migratory whales", "vintage cars", "meditation", "opera", "glaciers"),
    *("renewable heating", "the Silk Road"),
)
FOODS = (
    *("spaghetti", "chicken soup", "banana bread", "vegetable curry", "pancakes", "lasagna", "tomato soup", "paella"),
    *("apple pie", "mushroom risotto", "fish tacos", "lentil stew", "onion tart", "pumpkin soup", "falafel"),
    *("pad thai", "beef stew", "vegetable lasagna", "shakshuka", "Caesar salad", "chocolate cake", "carrot cake"),
    *("ramen", "gazpacho", "moussaka", "potato gratin", "spinach quiche", "chili con carne", "butter chicken"),
    *("fried rice", "cheesecake", "waffles", "minestrone", "roast chicken", "fish and chips", "ratatouille"),
    *("goulash", "hummus", "couscous salad", "blueberry muffins", "stuffed peppers", "dumplings", "pho", "tiramisu"),
    *("corn bread",),
)
INGREDIENTS = (
    *("tomatoes", "rice", "chickpeas", "spinach", "eggs", "potatoes", "cheese", "mushrooms", "chicken", "carrots"),
    *("onions", "lentils", "salmon", "broccoli", "pasta", "tofu", "peppers", "beans", "coconut milk", "garlic"),
    *("zucchini", "aubergines", "cauliflower", "lemon", "ginger", "bacon", "shrimp", "tuna", "quinoa", "oats"),
    *("sweet potatoes", "cabbage", "leeks", "feta", "mozzarella", "cream", "butter", "honey", "basil", "avocado"),
    *("beef", "pork", "turkey", "kale", "pumpkin", "yoghurt", "noodles", "olives", "capers", "almonds"),
)
GROCERIES = (
    *("apples", "lemons", "avocados", "bread rolls", "yoghurts", "onions", "bananas", "cucumbers", "eggs", "oranges"),
    *("cans of beans", "bottles of water", "bags of rice", "chocolate bars", "cartons of milk", "pears", "tomatoes"),
    *("carrots", "potatoes", "peaches", "melons", "jars of honey", "boxes of tea", "packs of butter", "tins of tuna"),
    *("loaves of bread", "bags of flour", "bottles of olive oil", "frozen pizzas", "bars of soap", "rolls of foil"),
    *("packs of noodles",),
)
PRODUCTS = (
    *("running shoes", "coffee maker", "desk lamp", "rain jacket", "backpack", "headphones", "electric kettle"),
    *("office chair", "yoga mat", "water bottle", "phone case", "tent", "winter gloves", "bike helmet", "toaster"),
    *("wireless mouse", "standing desk", "electric toothbrush", "hiking boots", "rice cooker", "smart watch"),
    *("picture frame", "bedside lamp", "sleeping bag", "leather wallet", "blender", "vacuum cleaner", "garden hose"),
    *("camping stove", "baby monitor", "travel pillow", "espresso cups", "cutting board", "dumbbells", "umbrella"),
    *("bluetooth speaker", "hair dryer", "fountain pen", "bird feeder", "chess set", "ironing board", "winter coat"),
    *("swimming goggles", "laptop stand", "wool blanket", "guitar strings", "board game", "car seat", "thermos flask"),
    *("frying pan", "bookshelf", "air purifier", "tool box", "alarm clock", "sunglasses"),
)
CUISINES = (
    *("Italian", "Thai", "Mexican", "Indian", "Japanese", "Greek", "Lebanese", "Vietnamese", "French", "Korean"),
    *("Spanish", "Turkish", "Chinese", "Ethiopian", "Moroccan", "Peruvian", "Polish", "Georgian", "Persian"),
    *("Brazilian",),
)
SONGS = (
    *("Paper Boats", "Midnight Harbour", "Northern Lights", "Summer Rain", "Glass Houses", "Slow Train Home"),
    *("Golden Hour", "Blue Window", "Electric Garden", "The Long Way Round", "Hold the Line Again", "Winter Sun"),
    *("Coffee at Dawn", "Satellite Hearts", "River of Glass", "One More Sunday", "Falling Upward", "Copper Sky"),
    *("Lost in Translation Street", "Velvet Morning", "Run With Me", "Seventeen Stars", "Old Photographs"),
    *("Neon Rain", "Empty Stages", "Letters Home", "Halfway There", "Desert Moon", "Sunflower Road", "Tiny Kingdoms"),
    *("Wild Horses at Night", "Hello Again"),
)
ARTISTS = (
    *("The Lanterns", "Maya Rivers", "Stone Orchard", "DJ Calypso", "Nora Vale", "The Velvet Foxes", "Idris Bloom"),
    *("Silver Pines", "Luca Ferro", "The Midnight Post", "Ella Marsh", "Tidal Radio", "Amber Skies"),
    *("The Paper Tigers", "Rosalind Grey", "King Marlow", "Los Viajeros", "Hiro and the Waves", "Blue Cathedral"),
    *("Sister Juniper", "The Night Ferry", "Mira Sol", "Kofi Blaze", "Winter Parade", "The Brass Monkeys"),
    *("Elena Duarte", "Cold Harbour", "Juno Park"),
)
FILMS = (
    *("The Last Lighthouse", "Silent Orbit", "A Winter in Porto", "Paper Kings", "The Beekeeper's Son", "Red Canyon"),
    *("Midsummer Ghosts", "Forty Steps", "The Clockmaker", "Under the Ice", "Return to Avalon Bay"),
    *("Night Train to Lisbon Bay", "The Hollow Crown Inn", "Starfall", "Two Summers", "The Painter's Daughter"),
    *("Iron Valley", "Ocean of Dust", "Seven Doors", "The Quiet Neighbour", "Hotel Meridian", "The Lost Cartographer"),
    *("Echo Park Nights", "Monsoon Letters", "Garden of Kites", "The Seventh Violin", "Cold Front"),
    *("A Dog Named Monday", "The Great Bake Robbery"),
)
BOOKS = (
    *("The Salt Road", "A House of Rivers", "Small Kingdoms", "The Glass Map", "Letters to October", "Iron Summer"),
    *("The Cartographer's Wife", "Night Swimmers", "The Quiet Engine", "Orchard of Stars", "The Winter Gardener"),
    *("Maps of the Sea", "Ashes and Honey", "The Last Librarian", "A Short History of Rain", "Copper Wings"),
    *("The Lighthouse Keeper's Diary", "Blue Mountain Blues", "The Tea Merchant", "Under Two Moons"),
    *("Seeds of Tomorrow", "The Art of Waiting", "Strangers in Autumn", "The Borrowed Key", "City of Bridges"),
    *("Thirteen Lanterns",),
)
GENRES = (
    *("jazz", "rock", "classical", "hip hop", "folk", "electronic", "country", "blues", "reggae", "soul", "metal"),
    *("indie", "funk", "ambient", "latin", "techno", "disco", "punk", "gospel", "opera", "lo-fi", "bluegrass"),
)
SPORTS = (
    *("football", "basketball", "tennis", "hockey", "rugby", "volleyball", "cricket", "handball", "baseball", "golf"),
    *("badminton", "table tennis", "ice hockey", "water polo", "cycling", "boxing"),
)
TEAMS = (
    *("Harbour United", "the Red Hawks", "City Rovers", "the Mountain Lions", "Northside FC", "the Blue Comets"),
    *("Riverside Athletic", "the Thunderbirds", "Kingsport Rangers", "the Bay Pirates", "the Silver Foxes"),
    *("Lakeside Town", "the Desert Eagles", "Old Mill FC", "the Storm Riders", "Castle Wanderers", "the Golden Bears"),
    *("Port City", "the Night Owls", "Union Valley", "the River Kings", "Westgate Albion"),
)
WORDS = (
    *("serendipity", "candle", "resilient", "harbour", "ephemeral", "generous", "meander", "brisk", "lucid", "thrive"),
    *("peculiar", "orchard", "ambiguous", "solitude", "vivid", "tedious", "gather", "plausible", "frugal", "wander"),
    *("abundant", "candid", "dwell", "eloquent", "fathom", "gloomy", "hasty", "inevitable", "jovial", "keen", "lofty"),
    *("mundane", "nimble", "obscure", "ponder", "quaint", "reluctant", "serene", "timid", "upheaval", "versatile"),
    *("whimsical", "yearn", "zealous", "benevolent", "cunning", "diligent", "elusive", "fragile", "gracious"),
    *("humble", "intricate", "jubilant", "luminous", "meticulous", "novel", "ominous", "pristine", "rustic", "subtle"),
)
SENTENCES = (
    *("The quick fox jumps over the lazy dog", "We will meet at the old bridge", "Practice makes perfect"),
    *("She sells fresh bread every morning", "Nothing beats a walk by the sea", "The garden needs some rain"),
    *("Our train leaves in five minutes", "He painted the fence bright green", "Music makes long roads short"),
    *("The library closes early on Fridays", "My neighbour plays the cello at night"),
    *("Snow fell on the silent village", "I left my umbrella on the train", "The committee will decide next week"),
    *("Fresh coffee fills the kitchen", "Two ships passed in the fog", "The children built a castle of sand"),
    *("A small key opens the old gate", "Every journey begins with one step"),
    *("The printer on the third floor is broken", "Our team won the last three games"),
    *("Honey tastes better on warm bread", "The museum opens a new wing in spring"),
    *("Please leave your shoes at the door", "The lighthouse can be seen for miles", "We planted twelve apple trees"),
    *("The server will be down at midnight",),
)
SIGHTS = (
    *("the museum", "the airport", "the central station", "the city park", "the harbour", "the cathedral", "the zoo"),
    *("the stadium", "the main library", "the old town", "the university", "the opera house", "the botanical garden"),
    *("the castle", "the ferry terminal", "the bus station", "the town hall", "the aquarium", "the science museum"),
    *("the art gallery", "the main square", "the concert hall", "the convention center", "the old bridge"),
    *("the flea market", "the beach"),
)
PLACES = (
    *("pharmacy", "supermarket", "petrol station", "cash machine", "bakery", "hospital", "post office", "gym", "café"),
    *("coffee shop", "bank", "vet", "hardware store", "library", "bike shop", "parking garage", "playground"),
    *("hairdresser", "laundromat", "bookstore", "florist", "car wash", "swimming pool", "charging station"),
    *("ice cream parlour", "dentist", "hotel", "cinema", "kiosk"),
)
SYMPTOMS = (
    *("headache", "sore throat", "back pain", "fever", "cough", "toothache", "stomach ache", "rash", "runny nose"),
    *("migraine", "sore muscles", "dizziness", "earache", "itchy eyes", "nausea", "swollen ankle", "stiff neck"),
    *("heartburn",),
)
DOCTORS = (
    *("dentist", "eye doctor", "dermatologist", "family doctor", "physiotherapist", "cardiologist", "pediatrician"),
    *("orthopedist", "neurologist", "gynecologist", "allergist", "psychologist", "surgeon"),
)
FILES = (
    *("budget.xlsx", "report.pdf", "notes.txt", "holiday.jpg", "slides.pptx", "invoice_march.pdf", "thesis.docx"),
    *("logo.png", "backup.zip", "recipes.md", "contract.pdf", "playlist.csv", "readme.txt", "portrait.jpg"),
    *("timesheet_june.xlsx", "cover_letter.docx", "floorplan.dwg", "meeting_minutes.txt", "selfie_beach.png"),
    *("tax_return_2024.pdf", "lecture3.mp4", "podcast_intro.mp3", "menu.pdf", "passport_scan.jpg", "shopping.csv"),
    *("roadmap.pptx", "insurance.pdf", "draft_v2.docx", "song_demo.wav", "model.stl", "addresses.csv", "warranty.pdf"),
    *("todo.md", "sketch.svg", "newsletter.html", "budget_2026.ods", "interview.m4a", "team_photo.jpg"),
    *("chapter_one.txt", "schema.json"),
)
FOLDERS = (
    *("Documents", "Downloads", "Pictures", "Invoices", "Projects", "Archive", "Music", "Desktop", "Taxes"),
    *("Receipts", "Holiday 2024", "Work", "School", "Clients", "Recipes", "Backups", "Photos", "Contracts", "Videos"),
    *("Scans", "Personal", "Old Stuff", "Shared", "Reports", "Wedding"),
)
