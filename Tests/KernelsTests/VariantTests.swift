import Kernels
import Testing

/// Every check with the variant that the processor gets, and in a process of its own with each of the others: the
/// variant belongs to the whole process, and other tests are running.
@Suite struct Variants {
    @Test func conversions() { ConversionChecks.run() }
    @Test func quantization() { QuantizationChecks.run() }
    @Test func gridRuns() { GridRunChecks.run() }
    @Test func vectors() { VectorChecks.run() }
    @Test func int8Rows() { Int8Checks.run() }
    @Test func attention() { AttentionChecks.run() }
    @Test func panels() { PanelChecks.run() }
    @Test func strips() { StripChecks.run() }
    @Test func int16Products() { Int16Checks.run() }
    @Test func dynamic8Products() { Dynamic8Checks.run() }
    @Test func lowRankProducts() { LowRankChecks.run() }
    @Test func adamW() { AdamWChecks.run() }
    @Test func backwardPasses() { BackwardChecks.run() }
    @Test func blockChanges() { BlockChangeChecks.run() }

    static func runAll(_ variant: KernelVariant) {
        #expect(variant.select())
        #expect(KernelVariant.active == variant)
        ConversionChecks.run()
        QuantizationChecks.run()
        GridRunChecks.run()
        VectorChecks.run()
        Int8Checks.run()
        AttentionChecks.run()
        PanelChecks.run()
        StripChecks.run()
        Int16Checks.run()
        Dynamic8Checks.run()
        LowRankChecks.run()
        AdamWChecks.run()
        BackwardChecks.run()
        BlockChangeChecks.run()
    }

    @Test func portable() async {
        await #expect(processExitsWith: .success) { Variants.runAll(.portable) }
    }

    @Test(.enabled(if: KernelVariant.available.contains(.avx2))) func avx2() async {
        await #expect(processExitsWith: .success) { Variants.runAll(.avx2) }
    }

    @Test(.enabled(if: KernelVariant.available.contains(.avx512))) func avx512() async {
        await #expect(processExitsWith: .success) { Variants.runAll(.avx512) }
    }

    @Test(.enabled(if: KernelVariant.available.contains(.avx512vnni))) func avx512vnni() async {
        await #expect(processExitsWith: .success) { Variants.runAll(.avx512vnni) }
    }

    @Test(.enabled(if: KernelVariant.available.contains(.neon))) func neon() async {
        await #expect(processExitsWith: .success) { Variants.runAll(.neon) }
    }

    @Test func widestIsTheDefault() throws {
        // Unless the environment chose another for this run of the tests.
        try KernelVariant.checkEnvironment()
        #expect(KernelVariant.available.contains(.portable))
        #expect(KernelVariant.available.contains(KernelVariant.active))
    }
}
