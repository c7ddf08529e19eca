"""What a federation is: the tables and keys of ``federation.toml``, each with its default and its rule.

The meaning of each key stands in the docstrings here and nowhere else: the comments of a new file, the JSON schema and
the page of documentation are made from them.
"""

from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path
from typing import Annotated, Any, Literal

from fedlora.codecs import CODECS
from fedlora.domains import DOMAINS
from fedlora.federation.presets import PRESETS
from fedlora.language_model import DEFAULT_BASE_MODEL
from fedlora.metrics.catalogue import SITE_AREAS
from fedlora.names import HOST, NAME, NAME_RULE, PORT
from fedlora.recipes import Recipe
from fedlora.rules import Rule, above, at_least, between, matching, one_of, share, some
from fedlora.strategies import DEFAULT, OPTIONS, STRATEGIES, options_of

__all__ = [
    "Containers",
    "Coordinator",
    "Federation",
    "Keeper",
    "Paths",
    "Resources",
    "RunDefaults",
    "Site",
    "SitePolicy",
]

SERVICE = "superlink"  # as containers and pods call the SuperLink, whatever its host is called


def _is_payload(value: Any) -> bool:
    return value == "board" or at_least(0.0).holds(value)


def _is_address_block(value: Any) -> bool:
    try:
        return "/" in value and IPv4Network(value) is not None
    except ValueError:
        return False


def _option(key: str) -> Rule:
    """Return the rule of a strategy's option, which may be left to the strategy."""
    rule = OPTIONS[key]
    return Rule(
        f'{rule.allowed}, or "{DEFAULT}"', lambda value: value == DEFAULT or rule.holds(value), rule.schema, (DEFAULT,)
    )


Name = Annotated[str, matching(NAME, f"a name: {NAME_RULE}")]
OptionalName = Annotated[str, matching(f"(?:{NAME})?", f'a name: {NAME_RULE}; or ""')]
Device = Annotated[Literal["cpu", "cuda"], one_of(("cpu", "cuda"))]
CodecName = Annotated[str, one_of(CODECS)]
DomainName = Annotated[str, one_of(DOMAINS)]
Host = Annotated[str, matching(HOST, "a host name or IPv4 address, without scheme and port")]
Address = Annotated[
    str, matching(f"(?:{HOST}:{PORT})?", 'HOST:PORT, without a scheme, with a port from 1 to 65535; or ""')
]
Port = Annotated[int, between(1, 65535)]
PortOrNone = Annotated[int, between(0, 65535)]
Figures = tuple[Annotated[str, one_of(SITE_AREAS)], ...]
Count = Annotated[int, at_least(1)]
CountOrNone = Annotated[int, at_least(0)]
Seconds = Annotated[float, above(0.0)]
Payload = Annotated[
    float | Literal["board"],
    Rule('a number of MB of at least 0, or "board"', _is_payload, {"minimum": 0}, ("board",)),
]
Amount = float | Literal["default"]
Whole = int | Literal["default"]
BELOW_ONE = Rule(
    "a number above 0 and below 1", lambda value: 0 < value < 1, {"exclusiveMinimum": 0, "exclusiveMaximum": 1}
)
AddressBlock = Annotated[str, Rule("an IPv4 address block, as 203.0.113.0/28", _is_address_block)]
Sha256 = Annotated[str, matching("(?:[0-9a-f]{64})?", 'a SHA-256: 64 of 0-9 and a-f; or ""')]
Text = Annotated[str, Rule("a text that is not empty", lambda value: value != "", {"minLength": 1})]


@dataclass(frozen=True)
class Coordinator:
    """Who runs the SuperLink, the runs and their keeper.

    Attributes
    ----------
    host : str
        Host name or IPv4 address under which sites reach the SuperLink; stands in its certificate.
    address_blocks : tuple of str
        IPv4 address blocks in which the SuperLink lies as sites see it, such as 203.0.113.7/32: what a site's network
        policy on Kubernetes lets it out to. Needless where host is an address.
    machine : str
        Name of the machine it runs on. Parts of one machine need different ports; "" is a machine of its own.
    fleet_port : int
        Port of the SuperLink for SuperNodes: TLS gRPC.
    http_port : int
        Port of the SuperLink for its ServerApps and for the keeper: HTTPS.
    runs : Path
        Folder of the runs.
    memory : int
        MiB that the SuperLink's container may use, and as many that of its ServerApps.
    metrics_port : int
        Port on 127.0.0.1 of its machine at which its exporter answers Prometheus; 0 for no exporter. In containers
        only Prometheus' own reaches it, and at another port.
    """

    host: Host
    address_blocks: tuple[AddressBlock, ...] = ()
    machine: OptionalName = ""
    fleet_port: Port = 9092
    http_port: Port = 8000
    runs: Path = Path("runs")
    memory: Count = 2048
    metrics_port: PortOrNone = 9464


@dataclass(frozen=True)
class Resources:
    """What a site's trainer may use of its machine.

    Attributes
    ----------
    threads : int
        Cores; trainers of one machine share its cores.
    tokens_at_once : int
        Tokens that go through the model at once, padding included: what decides the trainer's memory.
    memory : int
        MiB that the trainer's container may use.
    device : str
        What it computes on: cpu, or cuda for a GPU of NVIDIA's.
    gpus : int
        GPUs that the base model is spread over, layer by layer, where device is cuda and one does not hold it.
    """

    threads: Count = 1
    tokens_at_once: Count = 512
    memory: Count = 4096
    device: Device = "cpu"
    gpus: Count = 1


@dataclass(frozen=True)
class SitePolicy:
    """What a site allows others to ask of its trainer.

    Attributes
    ----------
    recipes : tuple of str
        Names of the recipes that may be trained; an empty list is all of this file.
    fewest_examples : int
        An update must come from at least as many records.
    largest_norm : float
        Largest Euclidean norm of an incoming adapter.
    figures : tuple of str
        What may leave the site in its answers besides seconds and numbers of records: traffic, training (losses and
        tokens), resources (of machine and GPU), health. An empty list is nothing.
    most_rank : int
        Highest rank of adapters; of one above it, the first rows and columns alone are trained here, at its scale, and
        the rest is sent back as it came. 0 for the recipe's.
    codecs : tuple of str
        Codecs in which adapters may come and updates may leave.
    clip_norm : float
        Euclidean norm at which an update is cut off before it leaves; 0 for none. See docs/privacy.md for this and the
        next three.
    noise_multiplier : float
        Standard deviation of the noise on each value of an update, in clip norms; 0 for no noise.
    epsilon_limit : float
        Largest epsilon of all updates together, over all runs; beyond it the trainer refuses. 0 for no limit.
    delta : float
        The delta that goes with each epsilon.
    most_updates : int
        Updates that the trainer gives in all, over all runs; 0 for no limit.
    most_runs : int
        Runs that the trainer opens in all, each a few files on its disk; 0 for no limit.
    """

    recipes: tuple[str, ...] = ()
    fewest_examples: Count = 8
    largest_norm: Annotated[float, above(0.0)] = 1000.0
    figures: Figures = SITE_AREAS
    most_rank: CountOrNone = 0
    codecs: tuple[CodecName, ...] = CODECS
    clip_norm: Annotated[float, at_least(0.0)] = 0.0
    noise_multiplier: Annotated[float, at_least(0.0)] = 0.0
    epsilon_limit: Annotated[float, at_least(0.0)] = 0.0
    delta: Annotated[float, BELOW_ONE] = 1e-6
    most_updates: CountOrNone = 0
    most_runs: CountOrNone = 1000


@dataclass(frozen=True)
class Site:
    """The owner of a shard.

    Attributes
    ----------
    name : str
        Name of the site and of its node.
    domain : str
        What its records are about.
    shard : Path
        Its shard folder, or a file of records, on its own machine.
    machine : str
        Name of the machine it runs on. Parts of one machine need different ports; "" is a machine of its own.
    superlink : str
        HOST:PORT under which this site reaches the SuperLink, where that is not the coordinator's host and fleet-port.
    runtime_port : int
        Port on 127.0.0.1 of its machine at which its worker fetches tasks.
    metrics_port : int
        Port on 127.0.0.1 of its machine at which its supernode serves the site's metrics to Prometheus; in a container
        on all its addresses, none of which is published. 0 for none.
    seed : int
        Decides the order of its records.
    resources : Resources
        What its trainer may use of its machine.
    policy : SitePolicy
        What it allows others to ask of its trainer.
    """

    name: Name
    domain: DomainName
    shard: Path
    machine: OptionalName = ""
    superlink: Address = ""
    runtime_port: Port = 9094
    metrics_port: PortOrNone = 9465
    seed: CountOrNone = 0
    resources: Resources = field(default_factory=Resources)
    policy: SitePolicy = field(default_factory=SitePolicy)


@dataclass(frozen=True)
class RunDefaults:
    """How runs are run.

    Attributes
    ----------
    recipe : str
        Name of the recipe, DOMAIN/PRESET; "" is the first of this file.
    domains : tuple of str
        Sites of these domains take part; an empty list is the recipe's own.
    seed : int
        Decides the first adapter and the samples.
    deadline : float
        Seconds that a site has for a round.
    join_timeout : float
        Seconds to wait for all sites before the first round.
    absence : float
        Seconds that a round with enough updates waits for sites that are offline.
    min_sites : int
        Updates that a round needs to count.
    fraction : float
        Share of each domain's sites that is wanted in each round.
    over_sampling : int
        Sites asked beyond that; the round closes without the slowest.
    required_domains : tuple of str
        Domains that each round needs an update of.
    extensions : int
        Further deadlines for a round with too few updates.
    upload_codec : str
        How updates become bytes. What a lossy codec leaves out of one, a site adds to its next.
    broadcast_codec : str
        How the global adapter becomes bytes; sites train from what they receive.
    largest_update_norm : float
        Largest Euclidean norm of a site's update; longer ones are refused. 0 for no limit.
    budget : float or "board"
        Payload of the whole run in MB, both directions; 0 for no limit, "board" for the leaderboard's 200,000.
    budget_rounds : int
        Rounds that may be begun, repeated ones included; 0 for no limit.
    budget_hours : float
        Wall-clock of the whole run; 0 for no limit.
    strategy : str
        How updates become the next adapter, see fedlora strategy list. What it asks of the recipe is checked here.
    server_learning_rate : float or "default"
        Of fedavgm, fedadam, fedyogi and fedadagrad: the rate of the coordinator's optimiser. Here and below, "default"
        is the strategy's own value.
    server_momentum : float or "default"
        Of the same: the decay of its first moment.
    server_beta_2 : float or "default"
        Of fedadam and fedyogi: the decay of its second moment.
    server_adaptivity : float or "default"
        Of fedadam, fedyogi and fedadagrad: what is added to the root of the second moment; the paper's tau.
    trim : float or "default"
        Of trimmed-mean: share of the updates that is left out at each end, for each value.
    byzantine : int or "default"
        Of krum and multi-krum: how many updates may be anything.
    selected : int or "default"
        Of multi-krum: how many updates are averaged; 0 for as many as a score looks at.
    """

    recipe: str = ""
    domains: tuple[DomainName, ...] = ()
    seed: CountOrNone = 0
    deadline: Seconds = 3600.0
    join_timeout: Seconds = 600.0
    absence: Seconds = 60.0
    min_sites: Count = 1
    fraction: Annotated[float, share()] = 1.0
    over_sampling: CountOrNone = 0
    required_domains: tuple[DomainName, ...] = ()
    extensions: CountOrNone = 0
    upload_codec: CodecName = "fp32"
    broadcast_codec: CodecName = "fp32"
    largest_update_norm: Annotated[float, at_least(0.0)] = 0.0
    budget: Payload = 0.0
    budget_rounds: CountOrNone = 0
    budget_hours: Annotated[float, at_least(0.0)] = 0.0
    strategy: Annotated[str, one_of(STRATEGIES)] = "fedavg"
    server_learning_rate: Annotated[Amount, _option("server-learning-rate")] = DEFAULT
    server_momentum: Annotated[Amount, _option("server-momentum")] = DEFAULT
    server_beta_2: Annotated[Amount, _option("server-beta-2")] = DEFAULT
    server_adaptivity: Annotated[Amount, _option("server-adaptivity")] = DEFAULT
    trim: Annotated[Amount, _option("trim")] = DEFAULT
    byzantine: Annotated[Whole, _option("byzantine")] = DEFAULT
    selected: Annotated[Whole, _option("selected")] = DEFAULT

    @property
    def options(self) -> dict[str, float]:
        """All options of the strategy."""
        given = {key: getattr(self, key.replace("-", "_")) for key in OPTIONS}
        return options_of(STRATEGIES[self.strategy], given)


@dataclass(frozen=True)
class Keeper:
    """How patiently the keeper looks after runs.

    Attributes
    ----------
    silent_seconds : float
        An attempt whose ServerApp has said nothing for so long is taken for dead.
    first_pause : float
        Seconds before a lost attempt is followed by the next; doubled each time that no round was gained.
    most_pause : float
        The longest that this pause becomes; not below the first.
    fruitless : int
        Attempts in a row without a new round after which the run is given up.
    """

    silent_seconds: Seconds = 15.0
    first_pause: Seconds = 1.0
    most_pause: Seconds = 60.0
    fruitless: Count = 5


@dataclass(frozen=True)
class Paths:
    """Where parts keep what outlives them.

    Attributes
    ----------
    state : Path
        Folder for keys, certificates, databases and logs.
    """

    state: Path = Path("state")


@dataclass(frozen=True)
class Containers:
    """Which images containers are made of.

    Attributes
    ----------
    images : str
        What stands before the role in an image's name: a registry and a folder, or what `make images` gives.
    tag : str
        Tag of the images; "" is the version of the kit that renders.
    """

    images: Text = "fedlora-"
    tag: str = ""


@dataclass(frozen=True, kw_only=True)
class Federation:
    """The whole file.

    Attributes
    ----------
    name : str
        Name of the federation; stands in its certificates.
    preset : str
        Gives the values that this file does not set, before the defaults do; "" for none.
    base_model : str
        The model that all sites train adapters for: a folder, a hub id, the name of the default one, or that of one
        which each site has imported.
    base_model_sha256 : str
        Hash that it must have at each site, as `fedlora model show` says it; a trainer with another one does not
        start. "" for any.
    coordinator : Coordinator
        Who runs the SuperLink, the runs and their keeper.
    site : tuple of Site
        The owners of shards.
    recipe : tuple of Recipe
        Training hyper-parameters that all sites of a run share: for each domain that is trained for, a preset and what
        is to differ from it.
    run : RunDefaults
        How runs are run.
    keeper : Keeper
        How patiently the keeper looks after runs.
    paths : Paths
        Where parts keep what outlives them.
    containers : Containers
        Which images containers are made of.
    """

    name: Name
    preset: Annotated[str, one_of(("", *PRESETS), f'one of {", ".join(PRESETS)}, or ""')] = ""
    base_model: Text = DEFAULT_BASE_MODEL
    base_model_sha256: Sha256 = ""
    coordinator: Coordinator
    site: Annotated[tuple[Site, ...], some()]
    recipe: Annotated[tuple[Recipe, ...], some()]
    run: RunDefaults = field(default_factory=RunDefaults)
    keeper: Keeper = field(default_factory=Keeper)
    paths: Paths = field(default_factory=Paths)
    containers: Containers = field(default_factory=Containers)

    @property
    def run_recipe(self) -> Recipe:
        """The recipe that runs train."""
        named = {recipe.name: recipe for recipe in self.recipe}
        return named[self.run.recipe] if self.run.recipe else self.recipe[0]

    @property
    def participants(self) -> tuple[Site, ...]:
        """The sites that take part in runs: those of the run's domains."""
        domains = self.run.domains or (self.run_recipe.domain,)
        return tuple(site for site in self.site if site.domain in domains)

    @property
    def superlink_names(self) -> tuple[str, ...]:
        """The names that the SuperLink's certificate is for: its host, what containers call it, and loopback."""
        return tuple(dict.fromkeys((self.coordinator.host, SERVICE, "localhost", "127.0.0.1")))

    def recipes_of(self, site: Site) -> tuple[Recipe, ...]:
        """Return the recipes that `site` allows."""
        return tuple(recipe for recipe in self.recipe if not site.policy.recipes or recipe.name in site.policy.recipes)

    def superlink_of(self, site: Site) -> str:
        """Return HOST:PORT under which `site` reaches the SuperLink."""
        return site.superlink or f"{self.coordinator.host}:{self.coordinator.fleet_port}"
