# Is every sample what the model needs? All are read before the first is worked on.
localrules:
    admit,


rule check:
    input:
        raw=raw_input,
    output:
        audit="results/samples/{sample}/audit.json",
    log:
        "results/logs/check/{sample}.log",
    benchmark:
        "results/benchmarks/check/{sample}.tsv"
    conda:
        "../../envs/cpu.yaml"
    params:
        path=lambda wildcards: SAMPLES[wildcards.sample].path,
        reading=lambda wildcards: SAMPLES[wildcards.sample].reading,
        files=lambda wildcards: SAMPLES[wildcards.sample].stamp,
        metadata=lambda wildcards: SAMPLES[wildcards.sample].metadata,
        metadata_file=lambda wildcards: stamp(SAMPLES[wildcards.sample].metadata),
        columns=lambda wildcards: SAMPLES[wildcards.sample].columns,
        balance=config["subset"]["balance"] if config["subset"]["cells"] else None,
        model=MODEL,
        genes=stamp(f"{MODEL}/genes.tsv"),
        min_share=config["input"]["min_gene_share"],
        revision=REVISION["check"],
    message:
        "Checking {wildcards.sample}"
    script:
        "../scripts/check.py"


checkpoint admit:
    input:
        model=ancient("results/model.json"),
        audits=expand("results/samples/{sample}/audit.json", sample=SAMPLES),
    output:
        table="results/admission.tsv",
    log:
        "results/logs/admit.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        samples=list(SAMPLES),
        on_bad_sample=config["on_bad_sample"],
        columns={
            f"annotate.{name}": (
                config["annotate"][name] if config["annotate"]["label"] else None
            )
            for name in ("label", "group")
        },
    message:
        "Admitting samples"
    script:
        "../scripts/admit.py"
