"""Reads a mergekit recipe from a file. YAML, of which JSON is a part; no object of a language is ever made of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from orchestra.errors import MergeError

_ANOTHERS_FIELDS = "tag:yaml.org,2002:merge"  # what YAML calls `<<`


class _Strict(yaml.SafeLoader):
    """YAML in which a name may not stand twice in one mapping; PyYAML keeps the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != _ANOTHERS_FIELDS]
        for name in names:
            if names.count(name) > 1:
                problem = f"'{name}' stands twice"
                raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return super().construct_mapping(node, deep)


def read_recipe(path: Path) -> dict[str, Any]:
    """The recipe that a file holds.

    Raises:
        MergeError: it is missing, or no YAML, or its YAML is no mapping.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Strict)
    except OSError as error:
        raise MergeError(f"{path}: cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise MergeError(f"{path}: is not UTF-8 text.") from error
    except RecursionError as error:
        raise MergeError(f"{path}: is nested too deeply.") from error
    except (yaml.YAMLError, TypeError) as error:  # TypeError: a list as a name
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise MergeError(f"{path}: is not YAML: {getattr(error, 'problem', None) or error}{where}.") from error
    if not isinstance(content, Mapping):
        raise MergeError(f"{path}: is not a recipe: a recipe is a mapping of fields.")
    return {str(name): value for name, value in content.items()}
