# Places the kept cells' counts on the genes of the model.
rule align:
    input:
        raw=raw_input,
        audit="results/samples/{sample}/audit.json",
        qc="results/samples/{sample}/qc.parquet",
    output:
        counts="results/samples/{sample}/counts.zarr.zip",
    log:
        "results/logs/align/{sample}.log",
    benchmark:
        "results/benchmarks/align/{sample}.tsv"
    conda:
        "../../envs/cpu.yaml"
    params:
        path=lambda wildcards: SAMPLES[wildcards.sample].path,
        reading=lambda wildcards: SAMPLES[wildcards.sample].reading,
        metadata=lambda wildcards: SAMPLES[wildcards.sample].metadata,
        metadata_file=lambda wildcards: stamp(SAMPLES[wildcards.sample].metadata),
        columns=lambda wildcards: SAMPLES[wildcards.sample].columns,
        thresholds=lambda wildcards: SAMPLES[wildcards.sample].qc,
        subset=config["subset"],
        min_share=config["input"]["min_gene_share"],
        model=MODEL,
        revision=REVISION["align"],
    message:
        "Aligning {wildcards.sample} to the model's genes"
    script:
        "../scripts/align.py"
