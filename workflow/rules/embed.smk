# Plans the shards of a sample, embeds each in a job of its own, and joins them.
localrules:
    plan,


checkpoint plan:
    input:
        counts="results/samples/{sample}/counts.zarr.zip",
        model="results/model.json",
        qc=ancient("results/samples/{sample}/qc.parquet"),
    output:
        # kept from run to run: a plan whose key still holds is not made anew
        plan=update("results/samples/{sample}/shards.json"),
    log:
        "results/logs/plan/{sample}.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        embed={name: config["embed"][name] for name in PLANNED_BY},
        aligned=alignment,
        revision=REVISION["embed"],
    message:
        "Planning the shards of {wildcards.sample}"
    script:
        "../scripts/plan.py"


rule embed_shard:
    input:
        # the plan is the gate, by content: its key is part of the shard's path
        counts=ancient("results/samples/{sample}/counts.zarr.zip"),
        plan=ancient("results/samples/{sample}/shards.json"),
    output:
        embeddings="results/samples/{sample}/shards/{key}/{rows}.zarr.zip",
    log:
        "results/logs/embed_shard/{sample}/{key}/{rows}.log",
    benchmark:
        "results/benchmarks/embed_shard/{sample}/{key}/{rows}.tsv"
    conda:
        "../../envs/gpu.yaml"
    threads: 4
    resources:
        gpu=1,
    message:
        "Embedding {wildcards.sample}, cells {wildcards.rows}"
    script:
        "../scripts/embed_shard.py"


rule gather:
    input:
        counts="results/samples/{sample}/counts.zarr.zip",
        plan="results/samples/{sample}/shards.json",
        # the plan has to be of this model and these options, not an older one put back
        model=ancient("results/model.json"),
        qc=ancient("results/samples/{sample}/qc.parquet"),
        shards=shards_of,
    output:
        embeddings="results/samples/{sample}/embeddings.zarr.zip",
    log:
        "results/logs/gather/{sample}.log",
    benchmark:
        "results/benchmarks/gather/{sample}.tsv"
    conda:
        "../../envs/cpu.yaml"
    params:
        options={
            name: config["embed"][name]
            for name in ("pooling", "precision", "attention")
        },
        aligned=alignment,
        revision=REVISION["gather"],
    message:
        "Gathering the embeddings of {wildcards.sample}"
    script:
        "../scripts/gather.py"
