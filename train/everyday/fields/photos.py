"""Tasks about photos and images."""

from __future__ import annotations

from train.everyday.tasks import Ask, Task, may, need, nested
from train.everyday.values import FLAG, PERSON, code, composed, one_of, several, text, whole

PHOTO = code("IMG_####.jpg", "DSC####.jpg", "photo_##.png", "scan##.png")
THEMES = ("beach", "wedding", "birthday", "mountains", "garden", "cats", "skiing", "old town", "sunset", "market")
ALBUM = composed(
    "{theme} {year}", "best of {theme}", "{theme} album", theme=THEMES, year=("2019", "2022", "2023", "2024")
)


FIELD = (
    Task(
        "search_photos",
        "Search the photo library",
        (
            need("subject", text(THEMES), "What is in the picture"),
            may("people", several(PERSON, 1, 3), "Who is in it"),
            may("year", whole(2005, 2025), "Year"),
            may("favorites_only", FLAG, "Only favorites"),
        ),
        (
            "Show me photos of [the {subject}]",
            "Find pictures of {people} at the {subject}",
            "Photos of the {subject} from {year}, please.",
            ("Show my favorite {subject} pictures", {"favorites_only": True}),
        ),
        lambda a, f: {"photos": f.whole(1, 180)},
        "I found {photos} photos.",
        (Ask("Find photos from {year}.", "What should be in them?", "The {subject}."),),
    ),
    Task(
        "resize_image",
        "Change the size of an image",
        (
            need("file_name", PHOTO, "File"),
            nested(
                "size",
                "New size in pixels",
                need("width", whole(100, 2000, 50), "Width"),
                need("height", whole(100, 2000, 50), "Height"),
            ),
            may("keep_ratio", FLAG, "Whether to keep the proportions"),
            may("format", one_of("jpg", "png", "webp"), "Format of the result"),
        ),
        (
            "Resize {file_name} to {size.width} by {size.height}",
            "Make {file_name} {size.width} pixels wide and {size.height} high",
            ("Scale {file_name} to {size.width} x {size.height} but keep the proportions", {"keep_ratio": True}),
            "I need {file_name} as a {format}, {size.width} by {size.height} pixels.",
        ),
        lambda a, f: {"kilobytes": a["size"]["width"] * a["size"]["height"] // 4000 + 1},
        "{file_name} is resized and has {kilobytes} kB.",
        (Ask("Resize {file_name}.", "To which width and height?", "{size.width} by {size.height}."),),
    ),
    Task(
        "create_album",
        "Create a photo album",
        (
            need("title", ALBUM, "Title"),
            may("photos", several(PHOTO, 2, 4), "Files"),
            may("shared_with", several(PERSON, 1, 3), "Who may see it"),
        ),
        (
            'Make an album called "{title}"',
            'Put {photos} into a new album "{title}"',
            'Create the album "{title}" and share it with {shared_with}',
        ),
        lambda a, f: {"album_id": f.code("AL"), "photos": len(a.get("photos", ()))},
        'The album "{title}" is ready.',
        (Ask("Make an album with {photos}.", "What should the title be?", "{title}"),),
    ),
    Task(
        "edit_photo",
        "Apply changes to a photo",
        (
            need("file_name", PHOTO, "File"),
            need(
                "changes",
                several(one_of("crop", "rotate", "brighten", "sharpen", black_and_white="black and white"), 1, 3),
                "Changes, in order",
            ),
            may("strength", whole(10, 100, 10), "Strength in percent"),
        ),
        (
            "Edit {file_name}: {changes}.",
            "Apply {changes} to {file_name}",
            "Use {changes} on {file_name} with a strength of {strength} percent",
        ),
        lambda a, f: {"saved_as": a["file_name"].replace(".", "_edited.")},
        "Done, the result is {saved_as}.",
        (Ask("Edit {file_name}.", "What should I do with it?", "{changes}"),),
    ),
)
