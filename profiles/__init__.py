"""Hardware profiles: machines as JSON data files, the shipped ones and the user's.

A profile describes one machine: its memory levels, peak rates, bandwidths, power and, where they are known, its cost
coefficients, each value with the source that it was read from. ``docs/profiles.md`` explains the files.
"""

from sizer.profiles.loader import Catalogue, all_profiles, load, matching, names, save
from sizer.profiles.records import Fact, Match, Profile, Source

__all__ = [
    "Catalogue",
    "Fact",
    "Match",
    "Profile",
    "Source",
    "all_profiles",
    "load",
    "matching",
    "names",
    "save",
]
