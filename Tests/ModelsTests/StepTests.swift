import Architecture
import Bytes
import Checkpoints
import Layers
import Models
import Tensors
import Testing

/// Passes over a few tokens of one sequence or of several, against single steps.
@Suite struct StepTests {
    static let models = ["collavo-grouped", "golden", "llama-bias", "qwen2-window", "mistral-window"]
    static let tokens = [5, 11, 3, 50, 7, 2, 31, 8]

    /// Logits of single steps, and the sequence that they leave.
    static func single(
        _ tokens: [Int], behind input: ModelInput, _ model: VisionLanguageModel
    ) throws -> (rows: [[Float]], state: DecoderState) {
        let state = model.makeState()
        _ = try model.prefill(model.embed(input), state: state)
        return (try tokens.map { try model.step(token: $0, state: state).values }, state)
    }

    /// A pass over a few tokens gives the bits of single steps; what is forgotten leaves no trace.
    @Test(arguments: models, KVCacheFormat.allCases) func severalTokens(_ name: String, _ format: KVCacheFormat) throws
    {
        let (model, probes) = try CacheFormatTests.model(name, format)
        var input = probes[0].input
        // Dynamic scaling has its own test.
        if model.tokensOfOnePass(4, past: try model.embed(input).count) < 4 { input = ModelInput(tokens: [4, 5, 6]) }
        let (rows, _) = try Self.single(Self.tokens, behind: input, model)
        let state = model.makeState()
        let length = try model.embed(input).count
        _ = try model.prefill(model.embed(input), state: state)
        #expect(model.tokensOfOnePass(8, past: length) == VisionLanguageModel.passTokens)
        for count in 1...VisionLanguageModel.passTokens {
            let logits = try model.steps(tokens: Array(Self.tokens.prefix(count)), state: state)
            #expect(logits.rows == count && state.count == length + count)
            #expect(logits.values == rows.prefix(count).flatMap(\.self), "\(count) tokens")
            state.truncate(to: length)
        }
        // Two of three are kept.
        _ = try model.steps(tokens: [5, 11, 44], state: state)
        state.truncate(to: length + 2)
        #expect(try model.steps(tokens: [3, 50], state: state).values == rows[2] + rows[3])
    }

    /// Past the limit of dynamic scaling every length has angles of its own: one token a pass.
    @Test(arguments: [false, true]) func dynamicScaling(recomputes: Bool) throws {
        let (model, _) = try CacheFormatTests.model("llama", .f32, recomputes: recomputes)
        let limit = model.configuration.backbone.rope.maxPositions
        #expect(model.tokensOfOnePass(8, past: limit - 8) == 4)
        #expect(model.tokensOfOnePass(8, past: limit - 3) == 3)
        #expect(model.tokensOfOnePass(2, past: limit - 3) == 2)
        #expect(model.tokensOfOnePass(8, past: limit - 1) == 1)
        #expect(model.tokensOfOnePass(8, past: limit) == 1)
        let input = ModelInput(tokens: (0..<limit - 2).map { $0 * 5 % 83 })
        let (rows, _) = try Self.single([1, 2, 3, 4], behind: input, model)
        let state = model.makeState()
        _ = try model.prefill(model.embed(input), state: state)
        #expect(try model.steps(tokens: [1, 2], state: state).values == rows[0] + rows[1])
        // Looked at, forgotten, and read again.
        state.truncate(to: limit - 2)
        #expect(try model.steps(tokens: [1, 2], state: state).values == rows[0] + rows[1])
        #expect(try model.steps(tokens: [3], state: state).values == rows[2])
        #expect(try model.steps(tokens: [4], state: state).values == rows[3])
    }

    /// Sequences of different lengths and prompts in one pass, with one token or two each.
    @Test(arguments: models + ["llama"], KVCacheFormat.allCases)
    func severalSequences(_ name: String, _ format: KVCacheFormat) throws {
        let (model, probes) = try CacheFormatTests.model(name, format)
        let inputs = [
            probes[0].input, ModelInput(tokens: [4, 5, 6]), ModelInput(tokens: (0..<23).map { $0 * 3 % 50 }),
        ]
        let expected = try inputs.map { try Self.single([9, 12, 30, 2], behind: $0, model).rows }
        let states = try inputs.map { input in
            let state = model.makeState()
            _ = try model.prefill(model.embed(input), state: state)
            return state
        }
        let batch = model.makeBatch()
        let first = try model.steps(states.map { ([9], $0) }, batch: batch)
        #expect(first.values == expected.flatMap { $0[0] })
        // One of them is through; another reads two tokens, where dynamic scaling lets it.
        let two = model.tokensOfOnePass(2, past: states[0].count)
        let second = try model.steps(
            [(Array([12, 30].prefix(two)), states[0]), ([12], states[2])], batch: batch)
        #expect(second.values == expected[0][1..<1 + two].flatMap(\.self) + expected[2][1])
        #expect(try model.steps([([12], states[1])], batch: batch).values == expected[1][1])
        #expect(try model.steps([], batch: batch).rows == 0)
    }

    /// More sequences than a pass takes.
    @Test func manySequences() throws {
        let (model, _) = try CacheFormatTests.model("mistral-window", .f32)
        let inputs = (0..<11).map { ModelInput(tokens: Array(1...(3 + $0))) }
        let states = try inputs.map { input in
            let state = model.makeState()
            _ = try model.prefill(model.embed(input), state: state)
            return state
        }
        let counts = [1, 1, 1, 1, 2, 1, 2, 4, 3, 1, 1]
        let batch = model.makeBatch()
        let found = try model.steps(zip(counts, states).map { (Array(Self.tokens.prefix($0)), $1) }, batch: batch)
        let expected = try zip(counts, inputs).map {
            try Self.single(Array(Self.tokens.prefix($0)), behind: $1, model).rows
        }
        #expect(found.values == expected.flatMap { $0.flatMap(\.self) })
        // Four single ones, 2 + 1, 2, 4, 3 + 1, 1.
        #expect(batch.passCount == 6)
        #expect(zip(states, inputs).map { $0.count - $1.tokens.count } == counts)
    }

    /// What one sequence has read, lent to another.
    @Test(arguments: KVCacheFormat.allCases) func copiedPrefix(_ format: KVCacheFormat) throws {
        for (name, recomputes) in [("collavo-grouped", true), ("llama", true), ("llama", false)] {
            let (model, probes) = try CacheFormatTests.model(name, format, recomputes: recomputes)
            let (_, lender) = try Self.single([9, 12, 30], behind: probes[0].input, model)
            let (_, borrower) = try Self.single([1, 2], behind: ModelInput(tokens: [4, 5, 6]), model)
            let length = lender.count - 2
            borrower.copyPrefix(of: lender, positions: length)
            #expect(borrower.count == length)
            lender.truncate(to: length)
            for token in [40, 41, 42] {
                #expect(
                    try model.step(token: token, state: borrower).values
                        == model.step(token: token, state: lender).values)
            }
            borrower.copyPrefix(of: lender, positions: 0)
            #expect(borrower.count == 0)
        }
    }

    @Test func tokensThatDoNotExist() throws {
        let (model, _) = try CacheFormatTests.model("golden", .f32)
        let state = model.makeState()
        #expect(throws: CrayonError.self) { _ = try model.steps(tokens: [1, 1_000_000], state: state) }
        #expect(throws: CrayonError.self) { _ = try model.steps([([-1], state)], batch: model.makeBatch()) }
        #expect(state.count == 0)
    }
}
