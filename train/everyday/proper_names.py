"""Lists names of people, places, languages and companies."""

from __future__ import annotations

FIRST_NAMES = (
    *("Ana", "Ben", "Carla", "David", "Elif", "Farah", "George", "Hana", "Ivan", "Julia", "Kofi", "Lena", "Marco"),
    *("Nadia", "Oscar", "Priya", "Quentin", "Rosa", "Samir", "Tara", "Uma", "Victor", "Wendy", "Yusuf", "Zoe", "Liam"),
    *("Mia", "Noah", "Emma", "Lucas", "Aisha", "Kenji", "Sofia", "Tom", "Grace", "Henry", "Leila", "Pablo", "Ingrid"),
    *("Amara", "Bruno", "Chloe", "Dmitri", "Esther", "Felix", "Greta", "Hugo", "Isla", "Jamal", "Keiko", "Lorenzo"),
    *("Maya", "Nils", "Olga", "Paula", "Ravi", "Stella", "Theo", "Ursula", "Valeria", "Walter", "Xenia", "Yara"),
    *("Zachary", "Alice", "Bilal", "Carmen", "Daniel", "Eleanor", "Freya", "Gustav", "Hassan", "Irene", "Jonas"),
    *("Katya", "Luis", "Marta", "Nina", "Otto", "Petra", "Rachel", "Simon", "Thandi", "Viktor", "Wei", "Zeynep"),
    *("Mehmet", "Sven", "Anika"),
)
LAST_NAMES = (
    *("Adams", "Baker", "Chen", "Diaz", "Evans", "Fischer", "Garcia", "Hughes", "Ito", "Jensen", "Kaya", "Lopez"),
    *("Meyer", "Novak", "Okafor", "Patel", "Quinn", "Rossi", "Silva", "Turner", "Walker", "Young", "Nguyen", "Moreau"),
    *("Andersson", "Bianchi", "Cohen", "Dubois", "Eriksen", "Ferreira", "Goldberg", "Hernandez", "Ivanova", "Johnson"),
    *("Kim", "Larsson", "Mbeki", "Nakamura", "Petrov", "Ramirez", "Schmidt", "Tanaka", "Usman", "Varga", "Wagner"),
    *("Yamamoto", "Zhang", "Ahmed", "Bauer", "Clarke", "Demir", "Edwards", "Fraser", "Green", "Haddad"),
)
CITIES = (
    *("Paris", "Berlin", "Madrid", "Rome", "Oslo", "Vienna", "Lisbon", "Dublin", "Prague", "Athens", "Warsaw"),
    *("Zurich", "Chicago", "Boston", "Seattle", "Denver", "Austin", "Miami", "Toronto", "Vancouver", "Montreal"),
    *("Mexico City", "Tokyo", "Osaka", "Seoul", "Mumbai", "Delhi", "Bangkok", "Singapore", "Sydney", "Melbourne"),
    *("Auckland", "Cairo", "Nairobi", "Lagos", "Cape Town", "Casablanca", "Dubai", "Ankara", "Tel Aviv", "Helsinki"),
    *("Stockholm", "São Paulo", "Buenos Aires", "Lima", "Bogotá", "Santiago", "Hamburg", "Lyon", "Porto", "Leeds"),
    *("Glasgow", "New York", "San Francisco", "Los Angeles", "Portland", "Phoenix", "Kyoto", "Naples", "Valencia"),
    *("Bristol", "Istanbul", "Amsterdam", "Brussels", "Copenhagen", "Budapest", "Barcelona", "Munich", "Cologne"),
    *("Milan", "Florence", "Venice", "Geneva", "Edinburgh", "Manchester", "Cardiff", "Belfast", "Krakow", "Riga"),
    *("Tallinn", "Vilnius", "Zagreb", "Belgrade", "Sofia", "Bucharest", "Reykjavik", "Seville", "Marseille", "Nice"),
    *("Houston", "Dallas", "Atlanta", "Nashville", "Philadelphia", "San Diego", "Las Vegas", "New Orleans"),
    *("Salt Lake City", "Minneapolis", "Calgary", "Quebec City", "Havana", "Panama City", "Quito", "Montevideo"),
    *("Rio de Janeiro", "Accra", "Addis Ababa", "Dakar", "Tunis", "Marrakesh", "Doha", "Riyadh", "Beirut", "Karachi"),
    *("Dhaka", "Colombo", "Kathmandu", "Hanoi", "Jakarta", "Manila", "Taipei", "Hong Kong", "Shanghai", "Beijing"),
    *("Sapporo", "Brisbane", "Perth", "Wellington", "Christchurch", "Honolulu"),
)
COUNTRIES = (
    *("France", "Germany", "Spain", "Italy", "Portugal", "Norway", "Sweden", "Finland", "Poland", "Greece", "Turkey"),
    *("Japan", "South Korea", "India", "Thailand", "Vietnam", "Australia", "New Zealand", "Canada", "Mexico"),
    *("Brazil", "Argentina", "Chile", "Peru", "Egypt", "Morocco", "Kenya", "Nigeria", "South Africa", "Ireland"),
    *("Iceland", "Austria", "Switzerland", "Belgium", "the Netherlands", "Denmark", "Hungary", "Romania", "Croatia"),
    *("Estonia", "Cuba", "Colombia", "Costa Rica", "Indonesia", "Malaysia", "China", "Nepal", "Ghana", "Tanzania"),
    *("Tunisia", "Israel", "Jordan"),
)
LANGUAGES = (
    *("French", "German", "Spanish", "Italian", "Portuguese", "Dutch", "Swedish", "Polish", "Turkish", "Greek"),
    *("Japanese", "Korean", "Mandarin", "Hindi", "Arabic", "Hebrew", "Russian", "Finnish", "Swahili", "Vietnamese"),
    *("Danish", "Norwegian", "Czech", "Hungarian", "Romanian", "Ukrainian", "Thai", "Indonesian", "Catalan"),
    *("Persian", "Icelandic", "Zulu"),
)
STREETS = (
    *("Oak Street", "Park Avenue", "Mill Lane", "Station Road", "High Street", "Maple Drive", "Church Road"),
    *("River Street", "King Street", "Elm Court", "Garden Road", "Harbour Street", "Lake View", "Hill Road"),
    *("Willow Way", "Baker Street", "Sunset Boulevard", "Victoria Road", "Orchard Close", "Bridge Street"),
    *("North Road", "Cedar Avenue", "Market Square", "Windmill Hill", "Rose Lane", "College Avenue", "Chestnut Grove"),
    *("Dock Road",),
)
COMPANIES = (
    *("Northwind", "Bluebird Foods", "Solaris Energy", "Atlas Motors", "Pinecone Software", "Meridian Bank"),
    *("Cobalt Systems", "Evergreen Paper", "Falcon Air", "Harvest Markets", "Orion Robotics", "Greenleaf Pharma"),
    *("Summit Outdoor", "Bright Harbor Shipping", "Nova Airlines", "Copperfield Bank", "Tidewater Energy"),
    *("Lumen Studios", "Redwood Insurance", "Vertex Chips", "Sunrise Dairy", "Polar Telecom"),
)
