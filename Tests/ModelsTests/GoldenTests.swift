import Checkpoints
import Models
import Testing

@Suite struct GoldenTests {
    @Test func fullPrecision() throws {
        let source = try GoldenShim()
        let probe = try Probe(
            SafetensorsFile(path: Fixtures.path("golden/probe-fp32.safetensors")), for: source.configuration)
        let model = try VisionLanguageModel(source: source)
        let error = relativeError(try model.logits(probe.input), probe.logits)
        print("fp32", error)
        #expect(error < 1e-5)
    }

    @Test func nf4() throws {
        let source = QuantizedSource(try GoldenShim())
        let probe = try Probe(
            SafetensorsFile(path: Fixtures.path("golden/probe-nf4.safetensors")), for: source.configuration)
        let model = try VisionLanguageModel(source: source)
        let error = relativeError(try model.logits(probe.input), probe.logits)
        print("nf4", error)
        #expect(error < 1e-4)
    }
}
