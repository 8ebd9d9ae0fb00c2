"""Texts that the page is tried on."""

HARBOUR = """# Harbour rules of Gull Point

## Berths

Visiting boats may stay at the outer quay for at most three nights.
The fee is 18 euros a night for boats up to ten metres, and 27 euros for longer ones.
It is paid at the harbour office before noon of the day after arrival.

## Light and fog

The lighthouse was built in 1871 and has been automatic since 1924.
In fog the horn sounds two blasts every thirty seconds.

## Fuel

Diesel is sold at the fuel pier from eight to six, and on Sundays until noon.
Petrol is not sold in the harbour.
"""

# Before the answer stand what UTF-16 counts twice, a family that is many code points, and Chinese.
EMOJI = f"🚢⚓️👩‍👩‍👧‍👦 港口规则：游船可停泊三晚。𝒢𝓊𝓁𝓁 🐦\n\n{HARBOUR}"


def long_text(paragraphs: int) -> str:
    """A text in chapters of ten paragraphs, each of which says its number; with an emoji now and then."""
    parts = []
    for index in range(paragraphs):
        if index % 10 == 0:
            parts.append(f"# Chapter {index // 10 + 1}")
        words = " ".join(f"word{(index * 31 + place * place) % 997}" for place in range(60))
        parts.append(f"This is paragraph {index} of the long text {'🦜' * (index % 3)}: {words}.")
    return "\n\n".join(parts) + "\n"
