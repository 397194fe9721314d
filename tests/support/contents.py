"""How files of many kinds begin; made here, each as its format demands."""

from __future__ import annotations

import io
import zipfile

_STUB = (
    b"\x0e\x1f\xba\x0e\x00\xb4\x09\xcd!\xb8\x01L\xcd!This program cannot be run in DOS mode.\r\r\n$"
)


def docx() -> bytes:
    """Return a zip archive that is laid out like a document of a word processor."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("word/document.xml", "<document/>")
    return file.getvalue()


EXE = (
    b"MZ\x90\x00\x03\x00\x00\x00\x04\x00\x00\x00\xff\xff" + bytes(50) + _STUB + bytes(7) + b"PE\0\0"
)
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(60)
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01" + bytes(60)
GIF = b"GIF89a" + bytes(60)
WEBP = b"RIFF\x00\x10\x00\x00WEBPVP8 " + bytes(60)
MP4 = b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00isomiso2avc1mp41" + bytes(60)
SONY = b"\x00\x00\x00\x1cftypXAVC\x01\x00\x1f\xffXAVCmp42" + bytes(60)
OLD_MOV = b"\x00\x00\x10\x00moov\x00\x00\x00\x6cmvhd" + bytes(60)
HEIC = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(60)
WEBM = bytes.fromhex("1A45DFA39F4286810142F7810142F2810442F381084282847765626D") + bytes(60)
PDF = b"%PDF-1.7\n1 0 obj\n"
ZIP = b"PK\x03\x04\x14\x00\x00\x00\x00\x00" + bytes(60)
GZIP = b"\x1f\x8b\x08\x00" + bytes(60)
OGG = b"OggS\x00\x02" + bytes(60)
WAV = b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(60)
MP3 = b"ID3\x03\x00\x00\x00\x00\x00\x0fTIT2" + bytes(60)
SCRIPT = b"#!/bin/sh\necho hello\n"
HTML = b"<!DOCTYPE html><script>alert(1)</script>"
TEXT = b"hello, this is text\n"
