import Kernels
import Layers
import Tensors
import Testing

@Suite struct AttentionTests {
    struct Case: Sendable, CustomStringConvertible {
        var tokens: Int
        var past: Int
        var groups: Int
        var headsPerGroup: Int
        var headSize: Int
        var isCausal = true
        var window: Int?

        var description: String {
            "\(tokens) after \(past), \(groups) x \(headsPerGroup) heads of \(headSize), window \(window ?? 0), \(isCausal)"
        }
    }

    static let cases = [
        Case(tokens: 1, past: 0, groups: 1, headsPerGroup: 1, headSize: 2),
        Case(tokens: 1, past: 70, groups: 2, headsPerGroup: 3, headSize: 10),
        Case(tokens: 5, past: 3, groups: 2, headsPerGroup: 1, headSize: 6),
        Case(tokens: 64, past: 0, groups: 1, headsPerGroup: 2, headSize: 16),
        Case(tokens: 65, past: 9, groups: 3, headsPerGroup: 2, headSize: 8),
        Case(tokens: 150, past: 0, groups: 1, headsPerGroup: 4, headSize: 20),
        Case(tokens: 90, past: 0, groups: 2, headsPerGroup: 1, headSize: 12, isCausal: false),
        Case(tokens: 150, past: 20, groups: 1, headsPerGroup: 2, headSize: 8, window: 7),
        Case(tokens: 1, past: 50, groups: 1, headsPerGroup: 2, headSize: 8, window: 7),
        Case(tokens: 80, past: 0, groups: 2, headsPerGroup: 2, headSize: 8, window: 1),
        Case(tokens: 30, past: 0, groups: 1, headsPerGroup: 1, headSize: 8, window: 1000),
        // Several parts of the positions, and several blocks of queries.
        Case(tokens: 1, past: 700, groups: 3, headsPerGroup: 5, headSize: 18),
        Case(tokens: 4, past: 510, groups: 2, headsPerGroup: 2, headSize: 80, window: 300),
        Case(tokens: 300, past: 33, groups: 2, headsPerGroup: 1, headSize: 64),
        Case(tokens: 70, past: 200, groups: 1, headsPerGroup: 4, headSize: 128),
        Case(tokens: 271, past: 0, groups: 2, headsPerGroup: 1, headSize: 80, isCausal: false),
    ]

    @Test(arguments: cases) func matchesPlain(_ test: Case) {
        let width = test.groups * test.headsPerGroup * test.headSize
        let positions = test.past + test.tokens
        let queries = randomMatrix(test.tokens, width, seed: 1)
        let keys = randomMatrix(positions, test.groups * test.headSize, seed: 2)
        let values = randomMatrix(positions, test.groups * test.headSize, seed: 3)
        let output = Matrix(rows: test.tokens, columns: width)
        Attention(
            groupCount: test.groups, headsPerGroup: test.headsPerGroup, headSize: test.headSize,
            isCausal: test.isCausal,
            window: test.window
        ).forward(
            queries: queries.view, groupStride: test.headsPerGroup * test.headSize, keys: keys.view,
            values: values.view,
            into: output.view, workspace: Workspace())
        let expected = Reference.attention(
            queries: queries, keys: keys, values: values, groups: test.groups, headSize: test.headSize,
            isCausal: test.isCausal, window: test.window)
        #expect(relativeError(output.values, expected) < 1e-6)
    }

    /// How many threads there are changes no bit.
    @Test(arguments: [1, 3, 90]) func threadsChangeNothing(_ tokens: Int) {
        let attention = Attention(groupCount: 2, headsPerGroup: 3, headSize: 24, isCausal: true)
        let queries = randomMatrix(tokens, 144, seed: 11)
        let keys = randomMatrix(600, 48, seed: 12)
        let values = randomMatrix(600, 48, seed: 13)
        let threads = Parallel.threadCount
        defer { Parallel.threadCount = threads }
        let results = [1, 2, 5].map { count in
            Parallel.threadCount = count
            let output = Matrix(rows: tokens, columns: 144)
            attention.forward(
                queries: queries.view, groupStride: 72, keys: keys.view, values: values.view, into: output.view,
                workspace: Workspace())
            return output.values
        }
        #expect(results[0] == results[1] && results[0] == results[2])
    }

    @Test func largeScoresDoNotOverflow() {
        let queries = Matrix(rows: 2, columns: 2, values: [1e4, 0, 1e4, 0])
        let keys = Matrix(rows: 2, columns: 2, values: [1e4, 0, -1e4, 0])
        let values = Matrix(rows: 2, columns: 2, values: [1, 2, 3, 4])
        let output = Matrix(rows: 2, columns: 2)
        Attention(groupCount: 1, headsPerGroup: 1, headSize: 2, isCausal: true).forward(
            queries: queries.view, groupStride: 2, keys: keys.view, values: values.view, into: output.view,
            workspace: Workspace())
        #expect(output.values == [1, 2, 1, 2])
    }
}
