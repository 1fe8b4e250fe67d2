# Measures every cell and says which are kept, and why the others are not.
rule qc:
    input:
        raw=raw_input,
        audit="results/samples/{sample}/audit.json",
        admission=ancient("results/admission.tsv"),
    output:
        table="results/samples/{sample}/qc.parquet",
    log:
        "results/logs/qc/{sample}.log",
    benchmark:
        "results/benchmarks/qc/{sample}.tsv"
    conda:
        "../../envs/cpu.yaml"
    params:
        path=lambda wildcards: SAMPLES[wildcards.sample].path,
        reading=lambda wildcards: SAMPLES[wildcards.sample].reading,
        thresholds=lambda wildcards: SAMPLES[wildcards.sample].qc,
        revision=REVISION["qc"],
    message:
        "Quality control of {wildcards.sample}"
    script:
        "../scripts/qc.py"
