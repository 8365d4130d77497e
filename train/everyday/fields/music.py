"""Tasks about songs, playlists, radio, podcasts and sound."""

from __future__ import annotations

from train.everyday.tasks import Ask, Task, may, need, nested
from train.everyday.values import FLAG, PERSON, ROOM, composed, count, one_of, several, text, whole
from train.everyday.vocabulary import ARTISTS, GENRES, SONGS

SONG, ARTIST, GENRE = text(SONGS), text(ARTISTS), text(GENRES)
OCCASIONS = ("dinner", "running", "road trip", "focus", "Sunday morning", "party", "yoga", "cooking", "sleep", "study")
PLAYLIST = composed("{occasion} mix", "{genre} classics", "{occasion} {genre}", occasion=OCCASIONS, genre=GENRES)
STATION = text(
    (
        "Radio Nova",
        "Jazz FM",
        "BBC Radio 3",
        "Sunshine Live",
        "Classic 101",
        "Kiss 95",
        "Radio Paradise",
        "Rock Antenne",
    )
)
PODCAST = text(
    ("Science Weekly", "The Daily Bean", "History Unboxed", "Money Matters", "Two Friends Talking", "Code & Coffee")
)

FIELD = (
    Task(
        "play_song",
        "Play a song",
        (
            need("song", SONG, "Title of the song"),
            may("artist", ARTIST, "Who sings it"),
            may("room", ROOM, "Where to play it"),
            may("repeat", FLAG, "Whether to repeat it"),
        ),
        (
            "Play {song}",
            "Play {song} by {artist}",
            "I want to hear {song} by {artist} in the {room}.",
            ("Put on {song} and keep repeating it", {"repeat": True}),
            "Play {song} in the {room}",
        ),
        lambda a, f: {"playing": True, "length": f"{f.whole(2, 5)}:{f.whole(10, 59)}"},
        "Now playing {song}.",
        (Ask("Play a song by {artist}.", "Which song would you like?", "{song}"),),
    ),
    Task(
        "play_genre",
        "Play music of a genre or mood",
        (
            need("genre", GENRE, "Genre"),
            may("mood", one_of("calm", "happy", "energetic", "sad"), "Mood"),
            may("minutes", whole(15, 120, 15), "How long to play"),
        ),
        (
            "Play some {genre}",
            "I feel like {genre}, something {mood}.",
            "Play {mood} {genre} for {minutes} minutes",
            "Put on {genre} music",
        ),
        lambda a, f: {"first": f.pick(*SONGS)},
        "Here is some {genre}, beginning with {first}.",
        (Ask("Play some {mood} music.", "Which genre do you like?", "{genre}"),),
    ),
    Task(
        "create_playlist",
        "Create a playlist",
        (
            need("title", PLAYLIST, "Name of the playlist"),
            may("songs", several(SONG, 2, 4), "Songs to begin with"),
            may("public", FLAG, "Whether others can see it", False),
            may(
                "description",
                text(("for long drives", "songs from school", "only happy tunes", "slow and warm")),
                "Description",
            ),
        ),
        (
            'Make a playlist called "{title}"',
            'Create a playlist "{title}" with {songs}',
            ('Start a public playlist named "{title}"', {"public": True}),
            'New playlist "{title}", description "{description}", please.',
        ),
        lambda a, f: {"playlist_id": f.code("PL"), "songs": len(a.get("songs", ()))},
        'The playlist "{title}" has been created.',
        (Ask("Make a new playlist with {songs}.", "What should I call it?", "{title}"),),
    ),
    Task(
        "add_song_to_playlist",
        "Add a song to a playlist",
        (
            need("song", SONG, "Title of the song"),
            need("playlist", PLAYLIST, "Name of the playlist"),
            may("position", count(1, 9), "Place in the list"),
        ),
        (
            "Add [{song}] to my {playlist} playlist",
            'Put {song} on the playlist "{playlist}" at position {position}',
            "{song} should go on {playlist}.",
        ),
        lambda a, f: {"num_songs": f.whole(8, 90)},
        "{song} is on {playlist}, which has {num_songs} songs now.",
        (Ask("Add {song} to a playlist.", "To which one?", "{playlist}"),),
    ),
    Task(
        "set_volume",
        "Set the volume of a speaker",
        (need("level", whole(5, 100, 5), "Volume in percent"), may("room", ROOM, "Room of the speaker")),
        (
            "Set the volume to {level} percent",
            "Turn it to {level}% in [the {room}]",
            "Volume {level} in the {room}, please.",
            "It's too loud. Make it {level} percent.",
        ),
        lambda a, f: {"volume": a["level"]},
        "The volume is at {level} percent.",
        (Ask("Change the volume in the {room}.", "To how many percent?", "{level}"),),
    ),
    Task(
        "tune_radio",
        "Play a radio station",
        (
            need("station", STATION, "Name of the station"),
            may("sleep_minutes", whole(10, 60, 5), "Minutes until it turns off"),
        ),
        (
            "Play {station}",
            "Turn on {station} and switch it off after {sleep_minutes} minutes",
            "I want to listen to the radio station {station}.",
        ),
        lambda a, f: {"now_on": f.pick("the morning show", "the news", "a concert", "the hit parade")},
        "{station} is on with {now_on}.",
        (Ask("Turn on the radio.", "Which station?", "{station}"),),
    ),
    Task(
        "play_podcast",
        "Play an episode of a podcast",
        (
            need("podcast", PODCAST, "Name of the podcast"),
            may("episode", whole(1, 200), "Number of the episode; the newest if left out"),
            may("speed", one_of("1x", "1.25x", "1.5x", "2x"), "Speed"),
        ),
        (
            "Play the latest episode of {podcast}",
            "Play episode {episode} of {podcast}",
            "Continue with {podcast} number {episode} at {speed} speed",
        ),
        lambda a, f: {"minutes": f.whole(15, 90)},
        "Playing {podcast}; the episode takes {minutes} minutes.",
        (Ask("Play a podcast.", "Which one?", "{podcast}"),),
    ),
    Task(
        "find_concerts",
        "Find concerts of an artist",
        (
            need("artist", ARTIST, "Artist or band"),
            nested(
                "where",
                "Where to look",
                need("city", text(("Berlin", "London", "Austin", "Lyon", "Toronto", "Oslo")), "City"),
                may("radius_km", whole(10, 200, 10), "How far around, in km"),
                is_required=False,
            ),
        ),
        (
            "When does [{artist}] play live next?",
            "Is {artist} giving a concert in {where.city}?",
            "Find concerts of {artist} within {where.radius_km} km of {where.city}",
        ),
        lambda a, f: {"date": f"2026-{f.whole(1, 12):02}-{f.whole(1, 28):02}", "tickets_left": f.whole(0, 300)},
        "The next concert of {artist} is on {date}; {tickets_left} tickets are left.",
        (Ask("Are there any concerts in {where.city}?", "Of which artist?", "{artist}"),),
    ),
    Task(
        "get_lyrics",
        "Get the words of a song",
        (need("song", SONG, "Title"), need("artist", ARTIST, "Artist")),
        (
            "Show me the lyrics of [{song} by {artist}]",
            "What are the words of {song} by {artist}?",
            "Get the lyrics for [{song} by {artist}]",
        ),
        lambda a, f: {"lines": f.whole(16, 60)},
        "Here are the {lines} lines of {song}.",
        (Ask("Show me the lyrics of {song}.", "By which artist?", "{artist}"),),
    ),
    Task(
        "share_playlist",
        "Send a playlist to friends",
        (
            need("playlist", PLAYLIST, "Playlist"),
            need("friends", several(PERSON, 1, 3), "Names"),
            may("can_edit", FLAG, "May change it"),
        ),
        (
            "Share my {playlist} playlist with {friends}",
            ('Send the playlist "{playlist}" to {friends} and let them edit it', {"can_edit": True}),
            "{friends} would love my {playlist}, send it over.",
        ),
        lambda a, f: {"shared_with": len(a["friends"])},
        "{friends} can hear {playlist} now.",
        (Ask("Share my {playlist} playlist.", "With whom?", "With {friends}."),),
    ),
)
