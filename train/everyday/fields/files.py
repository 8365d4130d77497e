"""Tasks about files, folders and programs of a computer."""

from __future__ import annotations

from train.everyday.tasks import Ask, Task, may, need, nested
from train.everyday.values import DATE, EMAIL, FLAG, code, composed, count, number, one_of, several, text, whole
from train.everyday.vocabulary import FILES, FOLDERS

FILE, FOLDER = text(FILES), text(FOLDERS)
SUBJECTS = ("invoices", "trip", "garden", "thesis", "wedding", "budget", "kitchen", "project", "band", "house", "club")
NEW_NAME = composed(
    "{subject}_{year}",
    "{subject}-final",
    "{subject}_v2",
    "my_{subject}",
    subject=SUBJECTS,
    year=("2023", "2024", "2025"),
)
FORMAT = one_of("pdf", "docx", "png", "jpg", "mp3", "csv", "txt")
PROGRAM = text(("the browser", "the music player", "the editor", "the mail program", "the calculator", "the terminal"))

FIELD = (
    Task(
        "search_files",
        "Search for files by name, type and folder",
        (
            need("name_contains", text(SUBJECTS), "Part of the name"),
            may("folder", FOLDER, "Folder to search in"),
            may("file_type", FORMAT, "Ending of the name"),
            may("changed_after", DATE, "Only files changed after this day, YYYY-MM-DD"),
            may("include_subfolders", FLAG, "Whether to look into subfolders", True),
        ),
        (
            'Find files with "{name_contains}" in the name',
            "Search the {folder} folder for {file_type} files named something with {name_contains}",
            (
                "Look in and below {folder} for {name_contains}, {file_type}, changed after {changed_after}.",
                {"include_subfolders": True},
            ),
            "Where are the files called {name_contains} that I changed after {changed_after}?",
            ("Look for {name_contains} in {folder}, but not in its subfolders.", {"include_subfolders": False}),
        ),
        lambda a, f: {"files": f.whole(1, 24)},
        "I found {files} files with {name_contains} in their names.",
        (Ask("Search my files.", "What should the name contain?", "{name_contains}"),),
    ),
    Task(
        "move_file",
        "Move a file into a folder",
        (
            need("file_name", FILE, "Name of the file"),
            need("target_folder", FOLDER, "Folder to move it to"),
            may("overwrite", FLAG, "Whether to replace a file of the same name", False),
        ),
        (
            "Move [{file_name}] to the {target_folder} folder",
            "Put {file_name} into {target_folder}",
            "{file_name} belongs in the {target_folder} folder.",
            ("Move {file_name} to {target_folder} and overwrite what is there", {"overwrite": True}),
        ),
        lambda a, f: {"path": f"{a['target_folder']}/{a['file_name']}"},
        "Done, it is now {path}.",
        (Ask("Move {file_name} somewhere else.", "Into which folder?", "{target_folder}"),),
    ),
    Task(
        "rename_file",
        "Give a file another name",
        (need("file_name", FILE, "Present name"), need("new_name", NEW_NAME, "New name, without the ending")),
        (
            "Rename [{file_name} to {new_name}]",
            "Call the file {file_name} {new_name} from now on",
            "I want {file_name} to be named {new_name}.",
        ),
        lambda a, f: {"renamed": f"{a['new_name']}.{a['file_name'].rpartition('.')[2]}"},
        "The file is called {renamed} now.",
        (Ask("Rename {file_name}.", "What should the new name be?", "{new_name}"),),
    ),
    Task(
        "create_folder",
        "Create a folder",
        (
            need("name", NEW_NAME, "Name of the new folder"),
            may("parent", FOLDER, "Folder in which to create it"),
            may("private", FLAG, "Whether only the owner sees it"),
        ),
        (
            "Make a folder called [{name}]",
            "Create a new folder {name} inside {parent}",
            "I need a folder named {name} in {parent}.",
            ("Create a private folder {name}", {"private": True}),
        ),
        lambda a, f: {"created": True},
        "The folder {name} is there.",
        (Ask("Create a new folder.", "What should it be called?", "{name}"),),
    ),
    Task(
        "share_folder",
        "Share a folder with people by mail address",
        (
            need("folder", FOLDER, "Folder to share"),
            need("emails", several(EMAIL, 2, 3), "Addresses of the people"),
            need("permission", one_of(view="view", edit="edit"), "What they may do"),
            may("expires_in_days", whole(7, 60, 7), "Days until the access ends"),
        ),
        (
            "Share the {folder} folder with {emails}, they may {permission} it.",
            "Let {emails} {permission} everything in {folder}",
            "Give {emails} access to {folder} for {expires_in_days} days so that they can {permission} the files",
        ),
        lambda a, f: {"link": f"https://files.example/{f.code('s')}", "people": len(a["emails"])},
        "{people} people have access to {folder} now. The link is {link}.",
        (Ask("Share {folder} with {emails}.", "May they only view it or also edit it?", "They may {permission} it."),),
    ),
    Task(
        "compress_files",
        "Pack several files into one archive",
        (
            need("files", several(FILE, 2, 4), "Names of the files"),
            need("archive_name", NEW_NAME, "Name of the archive, without the ending"),
            may("format", one_of("zip", "7z"), "Format of the archive", "zip"),
            may("password", code("@@@##", "blue-####", "key@##"), "Password"),
        ),
        (
            "Zip {files} into an archive called {archive_name}",
            "Pack {files} into {archive_name} as a {format} file",
            "Compress {files} as {archive_name} with the password {password}",
        ),
        lambda a, f: {"size_mb": f.number(0.4, 90, 1)},
        "The archive {archive_name} is ready, {size_mb} MB.",
        (Ask("Compress {files}, please.", "What should the archive be called?", "{archive_name}"),),
    ),
    Task(
        "delete_files",
        "Delete files for good or into the bin",
        (
            need("files", several(FILE, 1, 3), "Names of the files"),
            may("permanently", FLAG, "Whether to skip the bin", False),
        ),
        (
            "Delete {files}",
            "I don't need {files} anymore, get rid of that.",
            ("Delete {files} permanently", {"permanently": True}),
            ("Move {files} to the bin", {"permanently": False}),
        ),
        lambda a, f: {"freed_mb": f.whole(1, 400)},
        "Deleted. That freed {freed_mb} MB.",
        (Ask("Delete some files for me.", "Which ones?", "{files}"),),
    ),
    Task(
        "convert_document",
        "Convert a file to another format",
        (
            need("file_name", FILE, "Name of the file"),
            need("target_format", FORMAT, "Format wanted"),
            may("quality", whole(50, 100, 10), "Quality in percent"),
        ),
        (
            "Convert [{file_name}] to {target_format}",
            "Save {file_name} as a {target_format}",
            "I need {file_name} as {target_format} with {quality}% quality.",
        ),
        lambda a, f: {"output": f"{a['file_name'].rpartition('.')[0]}.{a['target_format']}"},
        "Converted: the new file is {output}.",
        (Ask("Convert {file_name} for me.", "To which format?", "{target_format}"),),
    ),
    Task(
        "get_free_space",
        "Get the free space of a disk",
        (
            need(
                "drive",
                text(("the laptop", "my backup disk", "the NAS", "my phone", "drive C", "drive D")),
                "Which disk",
            ),
            may("unit", one_of("GB", "MB", "percent"), "Unit of the answer"),
        ),
        (
            "How much space is left on [{drive}]?",
            "Check the free space on [{drive}]",
            "Is {drive} nearly full? Tell me in {unit}.",
        ),
        lambda a, f: {"free": f.whole(3, 95), "unit": a.get("unit", "GB")},
        "{free} {unit} are free.",
        (Ask("How much free space do I have?", "On which disk?", "On {drive}."),),
        "And on [{drive}]?",
    ),
    Task(
        "open_program",
        "Start a program, with a file if wanted",
        (
            need("program", PROGRAM, "Program"),
            may("file_name", FILE, "File to open with it"),
            may("full_screen", FLAG, "Full screen"),
        ),
        (
            "Open [{program}]",
            "Start {program} with {file_name}",
            ("Launch {program} in full screen", {"full_screen": True}),
        ),
        lambda a, f: {"started": True},
        "I started {program}.",
        (Ask("Open {file_name}.", "With which program?", "With {program}."),),
    ),
    Task(
        "print_document",
        "Print a file",
        (
            need("file_name", FILE, "Name of the file"),
            may("copies", count(2, 9), "Number of copies", 1),
            may("double_sided", FLAG, "Whether to print on both sides"),
            may("color", FLAG, "Whether to print in color"),
            nested(
                "pages",
                "Range of pages",
                need("first", count(1, 4), "First page"),
                need("last", whole(5, 30), "Last page"),
                is_required=False,
            ),
        ),
        (
            "Print [{file_name}]",
            "Print {copies} copies of {file_name}",
            ("Print {file_name} double sided in black and white", {"double_sided": True, "color": False}),
            "Print pages {pages.first} to {pages.last} of {file_name}",
            ("I need {copies} color copies of {file_name}.", {"color": True}),
        ),
        lambda a, f: {"printer": f.pick("Office 2", "Hallway", "Copy room"), "job": f.whole(10, 99)},
        "{file_name} is being printed on {printer}.",
        (Ask("Print something for me.", "Which file?", "{file_name}"),),
    ),
    Task(
        "schedule_backup",
        "Back up folders regularly",
        (
            need("folders", several(FOLDER, 2, 3), "Folders to save"),
            need("every_hours", whole(6, 48, 6), "Hours between backups"),
            may("keep_copies", count(2, 10), "How many copies to keep"),
            may("limit_gb", number(10, 200), "Most space to use, in gigabytes"),
        ),
        (
            "Back up {folders} every {every_hours} hours",
            "Save {folders} every {every_hours} hours and keep {keep_copies} copies",
            "I'd like a backup of {folders} each {every_hours} hours, using at most {limit_gb} GB.",
        ),
        lambda a, f: {"next_run": f"{f.whole(0, 23):02}:00"},
        "The first backup runs at {next_run}.",
        (Ask("Back up {folders} regularly.", "Every how many hours?", "Every {every_hours} hours."),),
    ),
)
