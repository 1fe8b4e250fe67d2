# `snakemake benchmark`: published figures of cell types regenerated, by a configuration of its own.
from aidocell.benchmark.plan import Plan

try:
    BENCHMARK = Plan(
        locate(config["benchmark"], ROOT),
        ROOT / "workflow/schemas/benchmark.schema.json",
        ROOT,
    )
except AidocellError as error:
    print(error, file=sys.stderr)
    raise SystemExit(error.exit_status)


# What reaches for the hub is local, as is `model`: compute nodes often have no network.
localrules:
    benchmark,
    benchmark_data,
    benchmark_model,


rule benchmark:
    input:
        "results/benchmark/tables",
        "results/benchmark/benchmark.html",


rule benchmark_data:
    output:
        folder=directory("results/benchmark/data/{dataset}"),
    log:
        "results/logs/benchmark_data/{dataset}.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        about=lambda wildcards: BENCHMARK.about_data(wildcards.dataset),
        revision=REVISION["benchmark"],
    message:
        "Fetching {wildcards.dataset}"
    script:
        "../scripts/benchmark_data.py"


rule benchmark_model:
    output:
        record="results/benchmark/models/{model}.json",
    log:
        "results/logs/benchmark_model/{model}.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        about=lambda wildcards: BENCHMARK.about_model(wildcards.model),
        revision=REVISION["benchmark"],
    message:
        "Identifying {wildcards.model}"
    script:
        "../scripts/benchmark_model.py"


rule benchmark_embed:
    input:
        data="results/benchmark/data/{dataset}",
        model="results/benchmark/models/{model}.json",
    output:
        folder=directory("results/benchmark/embeddings/{dataset}/{model}"),
    log:
        "results/logs/benchmark_embed/{dataset}/{model}.log",
    benchmark:
        "results/benchmarks/benchmark_embed/{dataset}/{model}.tsv"
    conda:
        "../../envs/gpu.yaml"
    threads: 4
    resources:
        gpu=1,
    params:
        about=lambda wildcards: BENCHMARK.about_embedding(wildcards.dataset),
        revision=REVISION["benchmark"],
    message:
        "Embedding {wildcards.dataset} with {wildcards.model}"
    script:
        "../scripts/benchmark_embed.py"


rule benchmark_run:
    input:
        unpack(lambda wildcards: BENCHMARK.inputs(wildcards.dataset, wildcards.run)),
        data="results/benchmark/data/{dataset}",
    output:
        folder=directory("results/benchmark/runs/{dataset}/{run}/{seed}"),
    log:
        "results/logs/benchmark_run/{dataset}/{run}/{seed}.log",
    benchmark:
        "results/benchmarks/benchmark_run/{dataset}/{run}/{seed}.tsv"
    wildcard_constraints:
        seed=r"\d+",
    conda:
        "../../envs/gpu.yaml" if BENCHMARK.tuned else "../../envs/cpu.yaml"
    threads: 2
    resources:
        gpu=lambda wildcards: BENCHMARK.gpus(wildcards.dataset, wildcards.run),
    params:
        about=lambda wildcards: BENCHMARK.about_run(wildcards.dataset, wildcards.run),
        revision=REVISION["benchmark"],
    message:
        "Running {wildcards.run} on {wildcards.dataset}, seed {wildcards.seed}"
    script:
        "../scripts/benchmark_run.py"


rule benchmark_tables:
    input:
        data=expand("results/benchmark/data/{dataset}", dataset=BENCHMARK.datasets),
        runs=BENCHMARK.outputs(),
    output:
        tables=directory("results/benchmark/tables"),
        page="results/benchmark/benchmark.html",
    log:
        "results/logs/benchmark_tables.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        config=BENCHMARK.config,
        revision=REVISION["benchmark"],
    message:
        "Setting published and regenerated figures side by side"
    script:
        "../scripts/benchmark_tables.py"
