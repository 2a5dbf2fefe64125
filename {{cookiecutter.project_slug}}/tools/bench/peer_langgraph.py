"""LangGraph with its PostgresSaver: a model node and a tool node, every node's end in the database.

The fastest of what was tried: four threads, each with a saver of its own (one saver lets one in at
a time) on a pool of four connections, without a transaction of their own and with prepared
statements; the asynchronous saver gave the same, more threads less.
"""

import operator
import sys
import threading
from typing import Annotated, Any, TypedDict
from uuid import uuid4

from langchain_core.runnables import RunnableConfig  # type: ignore[import-not-found]
from langgraph.checkpoint.postgres import PostgresSaver  # type: ignore[import-not-found]
from langgraph.graph import END, START, StateGraph  # type: ignore[import-not-found]
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool

from .peer_process import THREADS, Ledger, Message, act, model, serve


class State(TypedDict):
    left: int
    number: int
    wants: bool
    messages: Annotated[list[Message], operator.add]


class Peer:
    def __init__(self, url: str) -> None:
        kwargs = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
        self._pool = ConnectionPool(url, min_size=THREADS, max_size=THREADS, kwargs=kwargs)
        self._ledger = Ledger(url)
        self._own = threading.local()
        PostgresSaver(self._pool).setup()

    def run(self, steps: int) -> None:
        if not hasattr(self._own, "graph"):
            self._own.graph = self._graph()
        told = {"kind": "user_spoke", "text": f"{steps} steps of 0 bytes"}
        begun = {"left": steps, "number": 0, "wants": False, "messages": [told]}
        config = {"configurable": {"thread_id": str(uuid4())}, "recursion_limit": 3 * steps}
        ended = self._own.graph.invoke(begun, config, durability="sync")
        assert ended["number"] == steps, "LangGraph took another number of steps"

    def _graph(self) -> Any:
        graph = StateGraph(State)
        graph.add_node("model", self._model)
        graph.add_node("tool", self._tool)
        graph.add_edge(START, "model")
        graph.add_conditional_edges("model", lambda state: "tool" if state["wants"] else END)
        graph.add_edge("tool", "model")
        return graph.compile(checkpointer=PostgresSaver(self._pool))

    def _model(self, state: State) -> dict[str, Any]:
        said = model(state["left"], state["number"] + 1)
        if not said["calls"]:
            return {"wants": False, "messages": [said]}
        left, number = state["left"] - 1, state["number"] + 1
        return {"wants": True, "left": left, "number": number, "messages": [said]}

    def _tool(self, state: State, config: RunnableConfig) -> dict[str, Any]:
        session = config["configurable"]["thread_id"]
        return {"messages": [act(self._ledger, session, state["left"], state["number"])]}


if __name__ == "__main__":
    serve(Peer(sys.argv[1]).run)
