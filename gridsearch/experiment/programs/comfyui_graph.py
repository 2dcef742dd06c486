"""ComfyUI's graph of nodes: its links followed to values and texts, in a bounded number of steps.

    {"3": {"class_type": "KSampler", "inputs": {"seed": 5, "positive": ["6", 0]}},
     "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a cat", "clip": ["4", 1]}}}

An input is a value, or a link: the id of a node and the number of its output.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gridsearch.experiment.programs.fields import Fields
from gridsearch.render.pictures import MAX_INFOTEXT, as_kept

COMFYUI = "ComfyUI"
MOST_NODES = 2_000
MOST_LINKS = 100  # followed one after the other
# Inputs under which nodes that just hold a value have it.
HELD = ("value", "text", "string", "prompt", "seed", "noise_seed", "int", "float", "number")
DRAWN = "populated_text"  # what the wildcards of the Impact Pack became
SHOWING = ("ShowText|pysssss",)  # hands a text on; its other inputs are what it showed before
JOINED = "StringConcatenate"
_MOST_JOINS = 8  # one after the other, each of which may double the text


@dataclass(frozen=True)
class GraphNode:
    """A node of the graph."""

    id: str
    kind: str  # its class
    inputs: Fields

    def __contains__(self, name: str) -> bool:
        return name in self.inputs.values

    def held(self) -> str:
        """Return the input whose value the node hands on unchanged; empty where it computes something."""
        inputs = self.inputs.values
        if DRAWN in inputs:
            return DRAWN
        names = [name for name in HELD if name in inputs]
        if len(names) != 1:
            return ""
        # Beside a text, every other text or link may change it; beside a number only a link.
        changing = (str, list) if isinstance(inputs[names[0]], str | list) else list
        alone = not any(isinstance(value, changing) for name, value in inputs.items() if name != names[0])
        return names[0] if alone or self.kind in SHOWING else ""


@dataclass(frozen=True)
class Graph:
    """The nodes of a graph by their ids."""

    fields: Fields
    nodes: dict[str, GraphNode]

    def linked(self, node: GraphNode, name: str) -> GraphNode | None:
        """Return the node that an input of a node is linked to; None where it is not linked.

        Raises:
            BadInput: the link leads nowhere.
        """
        value = node.inputs.values.get(name)
        if not isinstance(value, list) or len(value) != 2 or not isinstance(value[0], str | int):
            return None
        if str(value[0]) not in self.nodes:
            raise self.fields.refused(f"Its {node.kind[:60]} is linked to a node that is not there.")
        return self.nodes[str(value[0])]

    def along(self, node: GraphNode, *names: str) -> Iterator[GraphNode]:
        """Yield the nodes before a node, one after the other, by the first of these inputs that is linked.

        Raises:
            BadInput: the links go in a circle, or on for too long.
        """
        passed = {node.id}
        while before := next(filter(None, (self.linked(node, name) for name in names)), None):
            if before.id in passed or len(passed) > MOST_LINKS:
                raise self.fields.refused("Its links go in a circle, or on for too long.")
            passed.add(before.id)
            yield before
            node = before

    def value(self, node: GraphNode, *names: str, joins: int = _MOST_JOINS) -> str:
        """Return the first of these inputs that a node has, as text; empty where it has none of them.

        Raises:
            BadInput: another node computes it.
        """
        name = next((name for name in names if name in node), "")
        holder, held = self._holder(node, name)
        if name and not held and holder.kind == JOINED and joins:
            parts = (self.value(holder, part, joins=joins - 1) for part in ("string_a", "string_b"))
            return self.joined(holder.inputs.plain("delimiter"), parts)
        if name and not held:
            raise self.fields.refused(
                f"The {name!r} of its {node.kind[:60]} is computed by {holder.kind[:60]!r}."
            )
        return holder.inputs.plain(held)

    def joined(self, delimiter: str, parts: Iterable[str]) -> str:
        """Return texts in one.

        Raises:
            BadInput: it is too long, as one that is doubled again and again.
        """
        text = delimiter.join(parts)
        if len(text) > MAX_INFOTEXT:
            raise self.fields.refused("The texts that it joins are too long.")
        return text

    def setting(self, node: GraphNode, name: str) -> str:
        """Return an input as text, or the name of the node that computes it; empty where there is none."""
        holder, held = self._holder(node, name)
        return holder.inputs.plain(held) if held else f"from {holder.kind}"

    def text(self, node: GraphNode, name: str) -> str:
        """Return an input as a prompt is kept."""
        return as_kept(self.value(node, name)).rstrip()

    def _holder(self, node: GraphNode, name: str) -> tuple[GraphNode, str]:
        """Return the node with the value of an input, and its name there; empty where it computes it."""
        for _ in range(MOST_LINKS):
            before = self.linked(node, name)
            if before is None:
                return node, name
            node, name = before, before.held()
            if not name:
                return node, ""
        raise self.fields.refused("Its links go in a circle, or on for too long.")


def read_graph(fields: Fields) -> Graph:
    """Return the graph that a JSON object is; what has no class, as the extra data of some sites, is no node.

    Raises:
        BadInput: it is too large, or a node's class is not a text, or its inputs are not an object.
    """
    if len(fields.values) > MOST_NODES:
        raise fields.refused(f"Its graph has {len(fields.values):,} nodes.")
    classed = (id_ for id_, node in fields.values.items() if isinstance(node, dict) and "class_type" in node)
    found = {id_: fields.inside(id_) for id_ in classed}
    nodes = {
        id_: GraphNode(id_, node.plain("class_type"), node.inside("inputs")) for id_, node in found.items()
    }
    return Graph(fields, nodes)
