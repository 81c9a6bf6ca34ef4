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
