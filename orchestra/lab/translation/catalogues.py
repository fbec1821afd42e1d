"""The message catalogues that pairs are made of, out of Debian's packages: these are unpacked and not installed."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from orchestra.errors import DataError

PACKAGES = """
aisleriot anjuta-common baobab brasero-common cheese-common deluge-common devhelp-common dia-common eog
epiphany-browser-data evince-common evolution-common evolution-data-server-common file-roller five-or-more
four-in-a-row gdm3 gedit-common gftp-common gimp-data gnome-applets-data gnome-bluetooth-3-common gnome-calculator
gnome-chess gnome-control-center-data gnome-desktop3-data gnome-dictionary gnome-disk-utility gnome-keyring
gnome-klotski gnome-mahjongg gnome-mines gnome-nettool gnome-nibbles gnome-panel-data gnome-power-manager
gnome-robots gnome-screenshot gnome-session-common gnome-sudoku gnome-system-monitor gnome-terminal-data
gnome-tetravex gnucash-common gnumeric-common gthumb-data gucharmap hexchat-common iagno inkscape iso-codes
libgdk-pixbuf2.0-common libglib2.0-data libgtk-3-common libgtk2.0-common libgtksourceview-3.0-common
libgtksourceview-4-common libreoffice-l10n-mk lightsoff metacity-common nautilus-data network-manager-gnome
network-manager orca pidgin-data planner-data quadrapassel rhythmbox-data seahorse shotwell-common swell-foop
synaptic tali totem-common vinagre vino vlc-l10n wesnoth-1.16-data yelp
""".split()  # noqa: SIM905
"""Of Debian 12. Each program's messages have that program's licence; none is kept in this repository."""


def catalogues(folder: Path, language: str) -> Path:
    """The folder with a language's `.mo` files, which are fetched where it is not there.

    Raises:
        DataError: they cannot be fetched on this system.
    """
    if folder.is_dir():
        return folder
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise DataError(
            f"{folder} is not there, and this system has no apt-get to fetch it with. Unpack Debian's packages that "
            f"hold `{language}/LC_MESSAGES/*.mo` into it; docs/notes/translation.md lists them."
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
        there, kept = Path(scratch) / "packages", Path(scratch) / "kept"
        there.mkdir(mode=0o777)
        for package in PACKAGES:
            _take(package, language, there, kept)
        if not kept.is_dir():
            raise DataError(
                f"apt-get fetched no package that holds {language}/LC_MESSAGES/*.mo; is its index up to date?"
            )
        kept.rename(folder)
    return folder


def _take(package: str, language: str, there: Path, kept: Path) -> None:
    """Keep the catalogues of one package, under the package's name; one that cannot be had is passed over."""
    done = subprocess.run(["apt-get", "download", package], cwd=there, capture_output=True, check=False)
    for archive in there.glob("*.deb") if done.returncode == 0 else ():
        content = there / "content"
        subprocess.run(["dpkg-deb", "-x", archive, content], capture_output=True, check=True)
        for path in content.rglob(f"{language}/LC_MESSAGES/*.mo"):
            place = kept / package / path.relative_to(content)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
        shutil.rmtree(content)
        archive.unlink()
