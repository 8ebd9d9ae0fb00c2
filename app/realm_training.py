"""Trains the retriever by the marginal likelihood: `python -m app.realm_training --help`.

The passages are embedded once into a versioned index; in full training another process embeds them anew now and then.
Run the same command again after a kill: it goes on at the last checkpoint.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import save_file

from app.refreshing import Refresher, refresh
from model.encoder import load_tokenizer
from model.network import WORDS
from model.towers import name_of, save_towers, starting_towers
from model.training.pairs import measures, read_corpus, read_pairs
from model.training.reader import starting_network
from model.training.realm import RealmModel, Recipe, read_examples, train
from model.training.recipes import log_to_terminal, parser_of, recipe_of, write_recipe
from retriever.versions import CURRENT, VersionedIndex


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line: an option for each field of the recipe, and where data and starting points are."""
    log_to_terminal()
    parser = parser_of(Recipe, description=__doc__)
    parser.add_argument(
        "--examples", type=Path, required=True, help="of app.retriever_mining --step spans, or questions"
    )
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--init", type=Path, help="a folder that model.training.retriever left; none: MiniLM")
    parser.add_argument("--validation", type=Path, help="pairs that the towers are measured on, before and after")
    parser.add_argument("--reader", type=Path, required=True, help="a folder with reader.safetensors")
    parser.add_argument("--mode", choices=("query", "full"), default="query")
    parser.add_argument("--trained", choices=("adapter", "top", "all"), default="adapter")
    parser.add_argument("--rank", type=int, default=16)
    given = vars(parser.parse_args(arguments))
    recipe = recipe_of(Recipe, given)
    towers = starting_towers(mode=given["mode"], trained=given["trained"], rank=given["rank"], init=given["init"])
    reader = starting_network(given["reader"], own_global=False)
    model = RealmModel(towers, reader, load_tokenizer())
    corpus, place = read_corpus(given["corpus"]), recipe.out / "index"
    if not any(recipe.out.glob("checkpoint-*")):
        shutil.rmtree(place, ignore_errors=True)  # an earlier run's, by other towers
    if not (place / CURRENT).exists():
        refresh(towers, corpus, place, encoder=name_of(given["init"]), step=0)
    held = [] if given["validation"] is None else read_pairs(given["validation"])
    before = measures(towers, held) if held else {}
    full = given["mode"] == "full"
    refresher = Refresher(towers, corpus=given["corpus"], index=place, work=recipe.out, rank=given["rank"])
    train(
        recipe,
        model,
        examples=read_examples(given["examples"]),
        corpus=corpus,
        index=VersionedIndex(place),
        refresh=refresher if full else None,
    )
    refresher.wait()
    save_towers(towers, recipe.out)
    kept = {name: each.detach().cpu().contiguous() for name, each in reader.state_dict().items() if name != WORDS}
    save_file(kept, recipe.out / "reader.safetensors")
    if held:
        found = {"before": before, "after": measures(towers, held)}
        (recipe.out / "measures.json").write_text(json.dumps(found, indent=1))
    write_recipe(recipe.out, recipe, **{name: value for name, value in given.items() if name not in vars(recipe)})


if __name__ == "__main__":
    main()
