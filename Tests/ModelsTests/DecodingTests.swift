import Architecture
import Bytes
import Checkpoints
import Kernels
import Layers
import Models
import Quantization
import Tensors
import Testing

/// A model with only its first layers.
struct ShortenedSource: ModelSource {
    let base: any ModelSource
    let configuration: ModelConfiguration
    var place: String { base.place }
    var files: [AuxiliaryFile] { base.files }

    init(_ base: any ModelSource, layers: Int) {
        self.base = base
        var configuration = base.configuration
        configuration.backbone.layerCount = layers
        self.configuration = configuration
    }

    func weight(_ role: Role) throws(CrayonError) -> StoredWeight? { try base.weight(role) }
}

@Suite struct DecodingTests {
    static let models = [
        "collavo-grouped", "llama", "qwen2-window", "mistral-window", "llama-bias", "vicuna-linear-rope",
    ]

    func model(_ name: String) throws -> (model: VisionLanguageModel, probes: [Probe]) {
        let test = try #require(Case.all.first { $0.name == name })
        let source = try test.open()
        let probes = try test.probes.map {
            try Probe(SafetensorsFile(path: Fixtures.path($0.file)), for: source.configuration)
        }
        return (try VisionLanguageModel(source: source), probes)
    }

    /// Prefill and steps give the logits of one pass over all of it, past the length that dynamic scaling begins at too.
    @Test(arguments: models) func stepsAreOnePass(_ name: String) throws {
        let (model, probes) = try model(name)
        for probe in probes.prefix(2) {
            let state = model.makeState()
            var input = probe.input
            var logits = try model.prefill(model.embed(input), state: state)
            for step in 0..<40 {
                let whole = try model.logits(input)
                #expect(
                    relativeError(logits, whole.rows(whole.rows - 1..<whole.rows)) < 5e-6,
                    "\(probe.place), step \(step)")
                let token = (step * 7 + 3) % model.configuration.backbone.vocabularySize
                input.tokens.append(token)
                logits = try model.step(token: token, state: state)
            }
        }
    }

    /// A prompt that comes in two parts, cut anywhere, within a picture too.
    @Test(arguments: [1, 3, 8, 20, 33]) func prefillInTwoParts(cut: Int) throws {
        let (model, probes) = try model("collavo-grouped")
        let prompt = try model.embed(probes[0].input)
        let span = try #require(prompt.imageSpans.first)
        let crayon = try #require(prompt.crayon)
        let inside = min(max(cut - span.lowerBound, 0), span.count)
        func part(_ rows: Range<Int>, crayonRows: Range<Int>) -> EmbeddedPrompt {
            let here = span.clamped(to: rows)
            return EmbeddedPrompt(
                hidden: prompt.hidden.rows(rows),
                imageSpans: here.isEmpty ? [] : [here.lowerBound - rows.lowerBound..<here.upperBound - rows.lowerBound],
                crayon: here.isEmpty ? nil : crayon.rows(crayonRows))
        }
        let state = model.makeState()
        _ = try model.prefill(part(0..<cut, crayonRows: 0..<inside), state: state)
        let logits = try model.prefill(part(cut..<prompt.count, crayonRows: inside..<span.count), state: state)
        let whole = try model.logits(probes[0].input)
        #expect(relativeError(logits, whole.rows(whole.rows - 1..<whole.rows)) < 5e-6)
    }

    @Test func forgettingPositions() throws {
        let (model, probes) = try model("llama")
        let state = model.makeState()
        // Past the length that dynamic scaling begins at, and back below it.
        _ = try model.prefill(model.embed(probes[2].input), state: state)
        state.truncate(to: 5)
        let logits = try model.step(token: 9, state: state)
        let whole = try model.logits(ModelInput(tokens: Array(probes[2].input.tokens.prefix(5)) + [9]))
        #expect(relativeError(logits, whole.rows(5..<6)) < 5e-6)
    }

    /// Without recomputation only keys turn: exact for a model of one layer, whose keys depend on its inputs alone.
    @Test func unrotatedKeysOfOneLayer() throws {
        let test = try #require(Case.all.first { $0.name == "llama" })
        let source = ShortenedSource(try test.open(), layers: 1)
        let model = try VisionLanguageModel(
            source: source, options: VisionLanguageModel.Options(recomputesPastMaxPositions: false))
        var input = ModelInput(tokens: (0..<40).map { $0 * 5 % 83 })
        let state = model.makeState()
        var logits = try model.prefill(model.embed(input), state: state)
        for step in 0..<30 {
            let whole = try model.logits(input)
            #expect(relativeError(logits, whole.rows(whole.rows - 1..<whole.rows)) < 5e-6, "step \(step)")
            input.tokens.append(step)
            logits = try model.step(token: step, state: state)
        }
    }

    @Test func rowsOfLogits() throws {
        let (model, probes) = try model("collavo-grouped")
        let all = try model.logits(probes[0].input)
        let some = try model.logits(probes[0].input, rows: [0, 7, 35])
        #expect(some.rows == 3)
        for (index, row) in [0, 7, 35].enumerated() {
            #expect(relativeError(some.rows(index..<index + 1), all.rows(row..<row + 1)) < 5e-6)
        }
        #expect(try model.logits(probes[0].input, rows: []).rows == 0)
        for rows in [[36], [-1], [3, 3], [4, 2]] {
            #expect(throws: CrayonError.self) { _ = try model.logits(probes[0].input, rows: rows) }
        }
    }

    @Test func severalPromptsAreEachOnItsOwn() throws {
        let (model, probes) = try model("collavo-grouped")
        let together = try model.logits(probes.map(\.input))
        for (logits, probe) in zip(together, probes) {
            #expect(logits.values == (try model.logits(probe.input)).values)
        }
    }

    @Test func crayonPromptAndSetsCanBeOff() throws {
        let test = try #require(Case.all.first { $0.name == "collavo-grouped" })
        let source = try test.open()
        let probe = try Probe(SafetensorsFile(path: Fixtures.path(test.probes[0].file)), for: source.configuration)
        func logits(_ options: VisionLanguageModel.Options) throws -> Matrix {
            try VisionLanguageModel(source: source, options: options).logits(probe.input)
        }
        let plain = try logits(.init(lowRankSets: ["image"]))
        #expect(relativeError(plain, probe.logits) > 0.01)
        // The crayon prompt enters through its set alone.
        #expect(try logits(.init(usesCrayon: false)).values == plain.values)
        #expect(relativeError(try logits(.init(lowRankSets: [])), plain) > 0.01)
        #expect(throws: CrayonError.self) { _ = try logits(.init(lowRankSets: ["nothing"])) }
    }
}

@Suite(.serialized) struct ThreadCountTests {
    /// The same bytes whatever the number of threads, for prefill, pictures and single steps, dense and 4-bit.
    @Test(arguments: [(false, Arithmetic.float32), (true, .float32), (true, .int16)])
    func sameBytes(isQuantized: Bool, arithmetic: Arithmetic) throws {
        let before = Parallel.threadCount
        defer { Parallel.threadCount = before }
        let test = try #require(Case.all.first { $0.name == "golden" })
        let source = try test.open()
        let model = try VisionLanguageModel(
            source: isQuantized ? QuantizedSource(source) : source, options: .init(arithmetic: arithmetic))
        let probe = try Probe(SafetensorsFile(path: Fixtures.path(test.probes[0].file)), for: source.configuration)
        var results: [[Float]] = []
        for threads in [1, 2, 5] {
            Parallel.threadCount = threads
            let state = model.makeState()
            var values = try model.logits(probe.input).values
            values += try model.prefill(model.embed(probe.input), state: state).values
            for token in [5, 77, 300] { values += try model.step(token: token, state: state).values }
            results.append(values)
        }
        #expect(results[0] == results[1])
        #expect(results[0] == results[2])
    }
}
