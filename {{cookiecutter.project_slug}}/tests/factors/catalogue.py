"""The factors, and what each claims here. A proof is a test marked with its factor's number."""

APP = {
    "I": "one codebase, many deploys: no switch on the environment's name",
    "II": "dependencies declared, pinned with hashes, isolated",
    "III": "config only from the environment, every fault named at once",
    "IV": "backing services are attached by URL",
    "V": "build, release, run are separate",
    "VI": "any process may die at any moment; another goes on",
    "VII": "the service binds $PORT itself, on all interfaces",
    "VIII": "process types scale apart",
    "IX": "fast start; SIGTERM finishes or hands back, exit 0",
    "X": "development runs the same kind and version of services",
    "XI": "logs: one JSON event a line on stdout, never a file",
    "XII": "admin tasks are one-off processes of the same code and config",
}
AGENT = {
    "A1": "natural language becomes a tool call",
    "A2": "prompts are our own files, versioned",
    "A3": "the context window is built by our own code, in a budget",
    "A4": "tools are structured outputs, validated",
    "A5": "execution state and business state are one list of events",
    "A6": "launch, pause, resume, cancel by plain HTTP",
    "A7": "people are contacted by tool calls",
    "A8": "the control flow is ours, on one screen",
    "A9": "errors are compacted into the context",
    "A10": "agents are small and focused",
    "A11": "triggered from anywhere, answers where the question came from",
    "A12": "the agent is a stateless reducer",
    "A13": "what it will surely need is fetched before it asks",
}
FACTORS = {**APP, **AGENT}
