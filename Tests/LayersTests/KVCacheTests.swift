import Layers
import Tensors
import Testing

/// The narrow forms of the cache: what they cost, what they keep, and attention over them.
@Suite struct KVCacheTests {
    @Test func memory() {
        // 3 layers of keys and values for 64 positions of 2 heads of 10.
        for (format, row) in [(KVCacheFormat.f32, 80), (.f16, 40), (.int8, 28)] {
            let cache = KVCache(layerCount: 3, groups: 2, headSize: 10, format: format)
            #expect(cache.byteCount == 0)
            cache.reserve(1)
            #expect(cache.capacity == 64 && cache.byteCount == 2 * 3 * 64 * row)
            cache.reserve(65)
            #expect(cache.capacity == 128 && cache.byteCount == 2 * 3 * 128 * row)
        }
    }

    /// Growing, at sizes that leave nothing aligned, keeps what is held; so does forgetting what comes after.
    @Test(arguments: KVCacheFormat.allCases) func rowsStay(_ format: KVCacheFormat) {
        let cache = KVCache(layerCount: 2, groups: 3, headSize: 6, format: format)
        let rows = randomMatrix(71, 18, seed: 4)
        cache.reserve(71)
        for layer in 0..<2 {
            cache.keys(layer).rows(0..<71).store(rows.view)
            cache.values(layer).rows(3..<71).store(rows.rows(3..<71).view)
        }
        cache.advance(by: 71)
        func read(_ stored: KVRows) -> [Float] {
            let wide = Matrix(rows: stored.rows, columns: 18)
            stored.widen(into: wide.view)
            return wide.values
        }
        let before = read(cache.keys(1).rows(0..<71))
        // Halves and eighths of bits: what float16 and absmax / 254 leave of values below 1.
        let step: Float = format == .f32 ? 0 : format == .f16 ? 0x1p-12 : 1.0 / 254
        for (a, b) in zip(before, rows.values) { #expect((a - b).magnitude <= step) }
        cache.reserve(333)
        #expect(read(cache.keys(1).rows(0..<71)) == before)
        #expect(read(cache.values(0).rows(3..<71)) == Array(before[(3 * 18)...]))
        cache.truncate(to: 5)
        #expect(read(cache.keys(0).rows(0..<5)) == Array(before[..<(5 * 18)]))
    }

    /// Attention over a narrow cache is attention over the rounded keys and values, one query or several.
    @Test(arguments: AttentionTests.cases.filter(\.isCausal)) func attentionOverNarrowRows(_ test: AttentionTests.Case)
    {
        let width = test.groups * test.headsPerGroup * test.headSize
        let positions = test.past + test.tokens
        let queries = randomMatrix(test.tokens, width, seed: 5)
        for format in [KVCacheFormat.f16, .int8] {
            let cache = KVCache(layerCount: 1, groups: test.groups, headSize: test.headSize, format: format)
            cache.reserve(positions)
            let (keys, values) = (cache.keys(0).rows(0..<positions), cache.values(0).rows(0..<positions))
            keys.store(randomMatrix(positions, test.groups * test.headSize, seed: 6).view)
            values.store(randomMatrix(positions, test.groups * test.headSize, seed: 7).view)
            let wideKeys = Matrix(rows: positions, columns: keys.columns)
            let wideValues = Matrix(rows: positions, columns: keys.columns)
            keys.widen(into: wideKeys.view)
            values.widen(into: wideValues.view)
            let output = Matrix(rows: test.tokens, columns: width)
            Attention(
                groupCount: test.groups, headsPerGroup: test.headsPerGroup, headSize: test.headSize, isCausal: true,
                window: test.window
            ).forward(
                queries: queries.view, groupStride: test.headsPerGroup * test.headSize, keys: keys, values: values,
                into: output.view, workspace: Workspace())
            let expected = Reference.attention(
                queries: queries, keys: wideKeys, values: wideValues, groups: test.groups, headSize: test.headSize,
                isCausal: true, window: test.window)
            #expect(relativeError(output.values, expected) < 1e-6)
        }
    }

    /// Up to four queries at once are attended to as each would be alone, to the bit.
    @Test(arguments: KVCacheFormat.allCases) func fewQueriesAreSingleOnes(_ format: KVCacheFormat) {
        let attention = Attention(groupCount: 2, headsPerGroup: 2, headSize: 12, isCausal: true, window: 30)
        let cache = KVCache(layerCount: 1, groups: 2, headSize: 12, format: format)
        cache.reserve(50)
        let (keys, values) = (cache.keys(0).rows(0..<50), cache.values(0).rows(0..<50))
        keys.store(randomMatrix(50, 24, seed: 8).view)
        values.store(randomMatrix(50, 24, seed: 9).view)
        for count in 1...4 {
            let queries = randomMatrix(count, 48, seed: 10)
            let together = Matrix(rows: count, columns: 48)
            attention.forward(
                queries: queries.view, groupStride: 24, keys: keys, values: values, into: together.view,
                workspace: Workspace())
            for row in 0..<count {
                let end = 50 - count + row + 1
                let alone = Matrix(rows: 1, columns: 48)
                attention.forward(
                    queries: queries.view.rows(row..<row + 1), groupStride: 24, keys: keys.rows(0..<end),
                    values: values.rows(0..<end), into: alone.view, workspace: Workspace())
                #expect(Array(together.row(row)) == Array(alone.row(0)))
            }
        }
    }
}
