"""Kinds of files that are not plain text in UTF-8, recognised by their first bytes.

Sources: the magic numbers in the specifications of each format. A name such as ``.csv`` proves nothing.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass

from ipinsights.errors import UnreadableFileError

__all__ = ["GZIP_MAGIC", "HEAD_BYTES", "FileKind", "kind_of", "refuse_other_kinds", "text_encoding"]

GZIP_MAGIC = b"\x1f\x8b"
HEAD_BYTES = 512
"""Number of bytes from a file's beginning that are enough to recognise every kind."""

# Text without a byte order mark needs as many characters as this, and this share of them from Latin-1.
_FEWEST_CHARACTERS, _LATIN_SHARE = 8, 0.7


@dataclass(frozen=True)
class FileKind:
    """A kind of file."""

    # With an article, to follow "it is".
    name: str
    # What a user can do, as a sentence.
    cure: str
    # Name of the program that packed the file, if it is packed.
    program: str | None = None


def _packed(program: str, command: str) -> FileKind:
    return FileKind(f"packed with {program}", f"Unpack it first, for example with `{command}`.", program)


_ARCHIVE = "Unpack it first, and use the files in it."
_SAVE_AS_CSV = "Save the table as CSV first."
_NOT_A_TABLE = "A text file is needed."
_PARQUET = FileKind("a Parquet file", "`ipinsights extract --format parquet --no-timestamps` writes its rows as CSV.")
_KINDS: dict[bytes, FileKind] = {
    b"BZh": _packed("bzip2", "bunzip2 -k FILE"),
    b"\xfd7zXZ\0": _packed("xz", "unxz -k FILE"),
    b"]\0\0": _packed("lzma", "unlzma -k FILE"),
    b"\x28\xb5\x2f\xfd": FileKind(
        "packed with zstd", "Install the extra `zstd`, or unpack it first, for example with `unzstd FILE`.", "zstd"
    ),
    b"\x04\x22\x4d\x18": _packed("lz4", "unlz4 FILE"),
    b"\xff\x06\0\0sNaPpY": _packed("snappy", "snzip -d FILE"),
    b"\x1f\x9d": _packed("compress", "uncompress FILE"),
    b"LZIP": _packed("lzip", "lzip -dk FILE"),
    b"\x89LZO": _packed("lzop", "lzop -d FILE"),
    b"PK\x05\x06": FileKind("an empty zip archive", _ARCHIVE),
    b"7z\xbc\xaf\x27\x1c": FileKind("a 7z archive", _ARCHIVE),
    b"Rar!\x1a\x07": FileKind("a rar archive", _ARCHIVE),
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": FileKind("an old workbook (.xls)", _SAVE_AS_CSV),
    b"PAR1": _PARQUET,
    b"PARE": FileKind("an encrypted Parquet file", _SAVE_AS_CSV),
    b"ORC": FileKind("an ORC file", "Write the table as CSV or Parquet first."),
    b"Obj\x01": FileKind("an Avro file", "Write the records as JSON Lines, CSV or Parquet first."),
    b"ARROW1": FileKind("an Arrow file", "Write the table as CSV or Parquet first."),
    b"FEA1": FileKind("a Feather file", "Write the table as CSV or Parquet first."),
    b"SEQ\x06": FileKind("a Hadoop sequence file", "Write the records as text first."),
    b"\x89HDF\r\n\x1a\n": FileKind("an HDF5 file", _SAVE_AS_CSV),
    b"\x93NUMPY": FileKind("a NumPy array", _SAVE_AS_CSV),
    b"SQLite format 3\0": FileKind("an SQLite database", _SAVE_AS_CSV),
    b"ElfFile\0": FileKind("a Windows event log (.evtx)", "Export the events as CSV or JSON first."),
    b"LPKSHHRH": FileKind("a journal of systemd", "Export it first, for example with `journalctl --file FILE`."),
    b"\xd4\xc3\xb2\xa1": FileKind("a packet capture", _NOT_A_TABLE),
    b"\xa1\xb2\xc3\xd4": FileKind("a packet capture", _NOT_A_TABLE),
    b"\x0a\x0d\x0d\x0a": FileKind("a packet capture", _NOT_A_TABLE),
    b"%PDF-": FileKind("a PDF document", _NOT_A_TABLE),
    b"\x89PNG\r\n": FileKind("a picture", _NOT_A_TABLE),
    b"\xff\xd8\xff": FileKind("a picture", _NOT_A_TABLE),
    b"\x7fELF": FileKind("a program", _NOT_A_TABLE),
}


def kind_of(head: bytes) -> FileKind | None:
    """Return the kind of a binary file by its first bytes, None for text, gzip, zip and tar."""
    found = next((kind for magic, kind in _KINDS.items() if head.startswith(magic)), None)
    return found if found is not None and _is_certain(head) else None


def _is_certain(head: bytes) -> bool:
    """Return whether a file is binary even if its magic bytes are letters."""
    if head.startswith(b"BZh"):
        return head[4:10] in (b"1AY&SY", b"\x17rE8P\x90")
    if head.startswith((b"ORC", b"LZIP")):
        return any(byte < 0x20 and byte not in b"\t\n\r" for byte in head)  # noqa: PLR2004 - control characters
    return True


def refuse_other_kinds(head: bytes, name: str, *, parquet: bool) -> None:
    """Raise an error that names a file's kind if it is neither text nor the Parquet wanted.

    ``head`` are its first ``HEAD_BYTES`` bytes.
    """
    kind = kind_of(head)
    if kind is not None and not (parquet and kind is _PARQUET):
        raise UnreadableFileError(f"{name} cannot be read: it is {kind.name}. {kind.cure}")


def text_encoding(head: bytes) -> str | None:
    """Return the encoding of text in UTF-16 or UTF-32, also without a byte order mark.

    None for any other content.
    """
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    first, second = head[0::2], head[1::2]
    if len(second) < _FEWEST_CHARACTERS:
        return None
    if 0 not in first and second.count(0) >= _LATIN_SHARE * len(second):
        return "utf-16-le"
    return "utf-16-be" if 0 not in second and first.count(0) >= _LATIN_SHARE * len(first) else None
