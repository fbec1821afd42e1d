"""Reads the headers of weights on the Hub, and not the weights. No torch."""

from huggingface_hub import constants, hf_hub_url
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status  # type: ignore[attr-defined]

from orchestra.errors import ModelError
from orchestra.graph import Origin
from orchestra.io.headers import keep_header
from orchestra.io.safetensors_header import MAX_HEADER_BYTES

_FIRST_BYTES = 1 << 16
"""Most headers are shorter: they come with one question."""


def fetch_headers(origin: Origin, names: list[str], *, token: bool | str | None) -> None:
    """Read the headers of weight files, and keep them; together they are as long as that of one file may be.

    Raises:
        ModelError: one is damaged, or too long.
        OSError, ValueError: as the client raises them over what it cannot have.
    """
    room = MAX_HEADER_BYTES
    for name in names:
        head, size = _part(origin, name, 0, _FIRST_BYTES, token)
        length = int.from_bytes(head[:8], "little")
        if len(head) < 8 or length > size - 8:
            raise ModelError(f"{origin.repo}: {name} is not a whole safetensors file; the repository is damaged.")
        if length > room:
            raise ModelError(
                f"{origin.repo}: {name} announces a header of {length:,} bytes; {MAX_HEADER_BYTES:,} are read at most"
                f"{', of all files together' if len(names) > 1 else ''}."
            )
        room -= length
        while len(head) < 8 + length:
            more, _ = _part(origin, name, len(head), 8 + length - len(head), token)
            if not more:
                raise ModelError(f"{origin.repo}: {name} ends before its header does; the repository is damaged.")
            head += more
        keep_header(origin, name, head[8 : 8 + length], size)


def _part(origin: Origin, name: str, begin: int, count: int, token: bool | str | None) -> tuple[bytes, int]:
    """Some bytes of a file, and how long it is. No more is taken, whatever is sent."""
    url = hf_hub_url(origin.repo, name, revision=origin.commit, endpoint=constants.ENDPOINT)
    asked = {"Range": f"bytes={begin}-{begin + count - 1}", "Accept-Encoding": "identity"}
    headers = {**build_hf_headers(token=token), **asked}
    found, timeout = b"", constants.HF_HUB_DOWNLOAD_TIMEOUT
    with get_session().stream("GET", url, headers=headers, timeout=timeout) as response:
        hf_raise_for_status(response)
        told = response.headers
        whole = told.get("Content-Range", "").rpartition("/")[2] or told.get("Content-Length", "")
        if not whole.isdecimal():
            raise OSError(f"the answer does not say how long {name} is")
        for chunk in response.iter_raw():
            found += chunk
            if len(found) >= count:
                break
    return found[:count], int(whole)
