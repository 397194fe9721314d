"""Which files are taken: declared, by their first bytes, whole, in pieces, and joined."""

from __future__ import annotations

from base64 import b64encode

import pytest

from tests.support import contents
from tests.support.bodies import ScriptedBody
from tusd_py.checks.sniffing import sniff
from tusd_py.data.memory import MemoryData
from tusd_py.interfaces import Access, BodyEnd, Grant, HookReply, HookType
from tusd_py.protocol.errors import FileTypeNotAllowed, UploadNotFound
from tusd_py.protocol.metadata import Metadata, parse_metadata
from tusd_py.protocol.model import Partial, Upload
from tusd_py.service.filetypes import SNIFF_BYTES, FileRules

from .conftest import House

LONG_MP4 = contents.MP4 + bytes(3 * SNIFF_BYTES)
LONG_EXE = contents.EXE + bytes(3 * SNIFF_BYTES)


def says(filetype: str | None = None, filename: str | None = None) -> Metadata:
    """Return metadata of a file."""
    pairs = {"filetype": filetype, "filename": filename}
    return parse_metadata(
        ",".join(
            f"{key} {b64encode(value.encode()).decode()}" for key, value in pairs.items() if value
        )
    )


VIDEO = says("video/mp4", "a.mp4")


@pytest.fixture
def cinema() -> House:
    """Takes videos."""
    return House(files=FileRules(types=("video/*",), sniff=sniff))


async def is_gone(house: House, upload: Upload) -> bool:
    """Whether nothing is left of the upload, and the application was told."""
    with pytest.raises(UploadNotFound):
        await house.record(upload)
    assert isinstance(house.data, MemoryData)
    return house.hooks.types[-1] == "post-terminate" and upload.id not in house.data._files


# --- what is declared


@pytest.mark.parametrize("said", ["video/mp4", "VIDEO/MP4", "video/webm; codecs=vp9"])
async def test_declared_types_that_are_taken(cinema: House, said: str) -> None:
    """In any case, with or without parameters."""
    await cinema.create(5, metadata=says(said))


@pytest.mark.parametrize("said", [None, "image/png", "videos", "xvideo/mp4", "; video/mp4"])
async def test_declared_types_that_are_not(cinema: House, said: str | None) -> None:
    """Refused before anything exists; the sentence names what is taken, not what was sent."""
    with pytest.raises(FileTypeNotAllowed, match=r"video/\*$") as caught:
        await cinema.create(5, metadata=says(said))
    assert said is None or said not in str(caught.value)
    assert "post-create" not in cinema.hooks.types


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("a.mp4", True),
        ("A.MP4", True),
        ("a.tar.gz", True),
        ("a.gz", False),
        ("mp4", False),
        ("a.mp4.exe", False),
        ("a.mp4 ", False),
        (None, False),
    ],
)
async def test_extensions(name: str | None, taken: bool) -> None:  # noqa: FBT001
    """The end of the name counts, whatever its case."""
    house = House(files=FileRules(extensions=("mp4", "tar.gz"), sniff=sniff))
    if taken:
        await house.create(5, metadata=says(filename=name))
        return
    with pytest.raises(FileTypeNotAllowed):
        await house.create(5, metadata=says(filename=name))


async def test_a_hook_may_name_the_type(cinema: House) -> None:
    """What counts is the metadata as it is kept."""
    cinema.hooks.says[HookType.PRE_CREATE] = HookReply(metadata={"filetype": "video/mp4"})
    await cinema.create(5)
    cinema.hooks.says[HookType.PRE_CREATE] = HookReply(metadata={"filetype": "image/png"})
    with pytest.raises(FileTypeNotAllowed):
        await cinema.create(5, metadata=VIDEO)


# --- what it is


async def test_an_honest_file(cinema: House) -> None:
    """In one request, in two, or byte by byte."""
    for content in (contents.MP4, LONG_MP4):
        assert (await cinema.create(len(content), content, metadata=VIDEO)).finished
        upload = await cinema.create(len(content), metadata=VIDEO)
        upload = await cinema.append(upload, content[:50])
        assert (await cinema.append(upload, content[50:])).finished
        slow = ScriptedBody(*(content[at : at + 1] for at in range(60)), content[60:])
        upload = await cinema.create(len(content), metadata=VIDEO)
        assert (await cinema.append(upload, slow)).finished


@pytest.mark.parametrize("content", [contents.EXE, contents.SCRIPT, LONG_EXE])
async def test_an_executable_that_says_it_is_a_video(cinema: House, content: bytes) -> None:
    """Refused with the creation, where nothing is created, or by a PATCH, which removes it."""
    with pytest.raises(FileTypeNotAllowed):
        await cinema.create(len(content), content, metadata=VIDEO)
    upload = await cinema.create(len(content), metadata=VIDEO)
    with pytest.raises(FileTypeNotAllowed):
        await cinema.append(upload, content)
    assert await is_gone(cinema, upload)
    assert "post-finish" not in cinema.hooks.types


async def test_what_is_clear_is_refused_at_the_first_patch(cinema: House) -> None:
    """However small its pieces are."""
    upload = await cinema.create(len(LONG_EXE), metadata=VIDEO)
    with pytest.raises(FileTypeNotAllowed):
        await cinema.append(upload, LONG_EXE[:200])
    assert await is_gone(cinema, upload)


async def test_not_a_byte_more_is_read_than_that_takes(cinema: House) -> None:
    """The rest of a large body stays where it is."""
    upload = await cinema.create(len(LONG_EXE), metadata=VIDEO)
    body = ScriptedBody(LONG_EXE[:SNIFF_BYTES], b"x" * 100, end=None)
    with pytest.raises(FileTypeNotAllowed):
        await cinema.append(upload, body)
    assert await body.read() == b"x" * 100


async def test_what_is_not_clear_at_first_is_judged_later(cinema: House) -> None:
    """Of pieces too small to tell, enough come together in the end."""
    for length in (100, len(LONG_EXE)):
        upload = await cinema.create(length, metadata=VIDEO)
        upload = await cinema.append(upload, b"no" * 10)
        with pytest.raises(FileTypeNotAllowed):
            await cinema.append(upload, b"x" * (length - 20))
        assert await is_gone(cinema, upload)


async def test_an_end_that_comes_without_bytes(cinema: House) -> None:
    """A length that is declared when all bytes are there does not slip through."""
    upload = await cinema.create(None, metadata=VIDEO)
    upload = await cinema.append(upload, contents.SCRIPT)
    with pytest.raises(FileTypeNotAllowed):
        await cinema.append(upload, b"", length=len(contents.SCRIPT))
    assert await is_gone(cinema, upload)


async def test_after_a_crash_it_is_still_refused(cinema: House) -> None:
    """Bytes of a file that died before it was judged: whoever asks finds it removed."""
    upload = await cinema.create(len(contents.SCRIPT), metadata=VIDEO)
    upload = await cinema.crash_with(upload, contents.SCRIPT)
    with pytest.raises(FileTypeNotAllowed):
        await cinema.head(upload)
    assert await is_gone(cinema, upload)


async def test_a_body_that_is_cut_can_be_continued(cinema: House) -> None:
    """Being cut is no reason to be refused."""
    upload = await cinema.create(len(LONG_MP4), metadata=VIDEO)
    with pytest.raises(Exception, match="connection ended"):
        await cinema.append(upload, ScriptedBody(LONG_MP4[:3], end=BodyEnd.DISCONNECTED))
    upload = await cinema.record(upload)
    assert (await cinema.append(upload, LONG_MP4[3:])).finished


async def test_an_empty_file_is_nothing_that_could_lie(cinema: House) -> None:
    """It is taken as what it says."""
    assert (await cinema.create(0, metadata=VIDEO)).finished


async def test_a_name_is_held_to_its_word() -> None:
    """Where only extensions are listed, the bytes have to fit the extension."""
    house = House(files=FileRules(extensions=("mp4", "xyz"), sniff=sniff))
    with pytest.raises(FileTypeNotAllowed):
        await house.create(len(contents.EXE), contents.EXE, metadata=says(filename="a.mp4"))
    for name, content in (("a.mp4", contents.SONY), ("a.xyz", contents.PNG)):
        assert (await house.create(len(content), content, metadata=says(filename=name))).finished


async def test_a_wrong_name_for_what_is_taken_does_no_harm() -> None:
    """A JPEG that is called PNG, where both are taken."""
    house = House(files=FileRules(types=("image/*",), sniff=sniff))
    png = says("image/png")
    assert (await house.create(len(contents.JPEG), contents.JPEG, metadata=png)).finished


# --- parts


async def test_parts_are_judged_when_they_are_joined(cinema: House) -> None:
    """A part shows nothing; the final upload says what it is, and its first bytes are looked at."""
    half = len(contents.MP4) // 2
    first, second = contents.MP4[:half], contents.MP4[half:]
    parts = await cinema.part(first), await cinema.part(second)
    assert (await cinema.final(*parts, metadata=VIDEO)).finished
    with pytest.raises(FileTypeNotAllowed):
        await cinema.final(*parts)
    lies = await cinema.part(contents.SCRIPT[:4]), await cinema.part(contents.SCRIPT[4:])
    with pytest.raises(FileTypeNotAllowed):
        await cinema.final(*lies, metadata=VIDEO)
    with pytest.raises(FileTypeNotAllowed):
        await cinema.create(3, kind=Partial(), metadata=says("image/png"))


async def test_parts_that_are_joined_later(cinema: House) -> None:
    """In the background there is nobody to tell: the final upload is removed."""
    part = await cinema.create(len(contents.SCRIPT), kind=Partial())
    final = await cinema.final(part, metadata=VIDEO)
    await cinema.append(part, contents.SCRIPT)
    await cinema.wait_idle()
    with pytest.raises(UploadNotFound):
        await cinema.record(final)


# --- what was granted


async def test_a_grant_names_types() -> None:
    """They count beside those of the server, and later requests cannot widen them."""
    grants = [Grant(owner="anna", types=("image/*",))]

    async def authorize(_: Access) -> Grant:
        return grants[-1]

    guarded = House(
        authorize=authorize, files=FileRules(types=("image/png", "video/*"), sniff=sniff)
    )
    for refused in ("video/mp4", "image/gif"):
        with pytest.raises(FileTypeNotAllowed):
            await guarded.create(5, metadata=says(refused))
    upload = await guarded.create(len(contents.MP4), metadata=says("image/png"))
    assert upload.types == ("image/*",)
    grants.append(Grant(owner="anna"))
    with pytest.raises(FileTypeNotAllowed):
        await guarded.append(upload, contents.MP4)
    grants.append(Grant(owner="anna", types=()))
    with pytest.raises(FileTypeNotAllowed, match="none"):
        await guarded.create(5, metadata=says("image/png"))


async def test_where_all_is_taken_nothing_is_looked_at() -> None:
    """Without rules nobody asks what a file is."""

    def fail(_: bytes) -> str | None:
        raise AssertionError

    free = House(files=FileRules(sniff=fail))
    assert (await free.create(len(contents.EXE), contents.EXE, metadata=VIDEO)).finished
