import Bytes
import Layers
import Tensors

/// Grouped attention over keys and values in float32: one query behind a long context, and a whole prompt.
enum AttentionBenchmarks {
    static let all = [decode, prefill]

    private static let width = LayerShape.groups * LayerShape.headSize
    private static let queryWidth = LayerShape.heads * LayerShape.headSize

    private static var layer: Attention {
        Attention(
            groupCount: LayerShape.groups, headsPerGroup: LayerShape.heads / LayerShape.groups,
            headSize: LayerShape.headSize, isCausal: true)
    }

    private static let decode = Benchmark(
        "attention-decode", .kernels, "one query over 2048 positions"
    ) { () throws(CrayonError) in
        let positions = 2048
        let bytes = 2 * positions * width * 4
        func caches(_ seed: UInt64) -> Matrix {
            RandomWeights.matrix(rows: positions, columns: width, seed: seed << 32)
        }
        let layers = (0..<RandomWeights.copiesPastCache(of: bytes)).map { index in
            (keys: caches(UInt64(index)), values: caches(UInt64(index) + 1000))
        }
        let query = RandomWeights.matrix(rows: 1, columns: queryWidth)
        let output = Matrix(rows: 1, columns: queryWidth)
        let (attention, workspace) = (layer, Workspace())
        let total = Double(layers.count * bytes)
        return Benchmark.Prepared(
            "32 heads in 8 groups of 128, 2048 positions, \(layers.count) layers", amount: total, unit: .bytes,
            floor: Floor([.memoryRead: total])
        ) { () throws(CrayonError) in
            for (keys, values) in layers {
                attention.forward(
                    queries: query.view, groupStride: queryWidth / LayerShape.groups, keys: keys.view,
                    values: values.view, into: output.view, workspace: workspace)
            }
        }
    }

    private static let prefill = Benchmark(
        "attention-prefill", .kernels, "1300 causal queries"
    ) { () throws(CrayonError) in
        let tokens = 1300
        let keys = RandomWeights.matrix(rows: tokens, columns: width, seed: 1)
        let values = RandomWeights.matrix(rows: tokens, columns: width, seed: 2)
        let queries = RandomWeights.matrix(rows: tokens, columns: queryWidth, seed: 3)
        let output = Matrix(rows: tokens, columns: queryWidth)
        let (attention, workspace) = (layer, Workspace())
        // Scores and mixtures of the keys that each query sees.
        let operations = 4 * Double(queryWidth) * Double(tokens * (tokens + 1) / 2)
        return Benchmark.Prepared(
            "32 heads in 8 groups of 128, 1300 positions", amount: operations, unit: .operations,
            floor: Floor([.products: operations])
        ) { () throws(CrayonError) in
            attention.forward(
                queries: queries.view, groupStride: queryWidth / LayerShape.groups, keys: keys.view,
                values: values.view, into: output.view, workspace: workspace)
        }
    }
}
