/// Every benchmark there is.
public enum BenchmarkSuite {
    /// Kernels on the shapes of InternLM2-7B, then jobs.
    /// - Parameter model: what the jobs run; made when the first of them is prepared.
    public static func all(model: JobModel) -> [Benchmark] {
        QuantizationBenchmarks.all + PackingBenchmarks.all + LinearBenchmarks.all + AttentionBenchmarks.all
            + OptimizerBenchmarks.all + JobBenchmarks.all(model)
    }
}
