import Architecture
import Bytes
import Checkpoints
import Conversion
import Foundation
import Kernels
import Synchronization
import Tensors
import Testing

/// A shape of a few hundred thousand weights whose tensors span more than one chunk of the generator.
private var tinyShape: SyntheticCheckpoint.Shape {
    var shape = SyntheticCheckpoint.Shape()
    shape.vocabularySize = 1500
    shape.hiddenSize = 96
    shape.layerCount = 2
    shape.headCount = 6
    shape.keyValueHeadCount = 2
    shape.intermediateSize = 150
    shape.rank = 5
    shape.visionWidth = 48
    shape.visionLayerCount = 2
    shape.visionHeadCount = 3
    shape.visionIntermediateSize = 70
    shape.positionRows = 26
    shape.semanticRows = 12
    shape.numberingRows = 4
    return shape
}

@Suite(.serialized) struct SyntheticCheckpointTests {
    @Test func opensAsThePublishedLayout() throws {
        try withFolder { folder in
            let synthetic = try SyntheticCheckpoint(shape: tinyShape, seed: 3)
            let highest = Mutex(0)
            try synthetic.write(to: folder, shardLimit: 200_000) { progress in
                highest.withLock { $0 = max($0, progress.doneBytes) }
                #expect(progress.totalBytes == synthetic.byteCount)
            }
            #expect(highest.withLock { $0 } == synthetic.byteCount)
            let model = try CheckpointModel.open(folder)
            #expect(model.unused.isEmpty)
            #expect(model.bindings.count == synthetic.tensorCount)
            #expect(model.bindings.reduce(0) { $0 + $1.shape.count } == synthetic.parameterCount)
            let configuration = model.configuration
            #expect(configuration.layout == "collavo")
            #expect(configuration.backbone.keyValueHeadCount == 2)
            #expect(configuration.backbone.embeddingRows == 1501)
            #expect(configuration.backbone.rope.base == 1e6)
            #expect(configuration.vision?.headCount == 3)
            #expect(configuration.lowRankSets.map(\.name) == ["image", "crayon"])
            #expect(configuration.lowRankSets.map(\.modules.count) == [5, 4])
            #expect(configuration.crayon?.entry == .lowRank)
        }
    }

    @Test func bytesDependOnTheSeedAndNotOnTheThreads() throws {
        let threads = Parallel.threadCount
        defer { Parallel.threadCount = threads }
        func files(seed: UInt64, threads: Int) throws -> [String: Data] {
            Parallel.threadCount = threads
            return try withFolder { folder in
                try SyntheticCheckpoint(shape: tinyShape, seed: seed).write(to: folder, shardLimit: 200_000)
                return try contents(of: folder)
            }
        }
        let one = try files(seed: 3, threads: 1)
        #expect(one.count > 3)
        #expect(try files(seed: 3, threads: 2) == one)
        let other = try files(seed: 4, threads: 2)
        #expect(other.keys == one.keys)
        #expect(other != one)
    }

    @Test func numbersAreGaussian() throws {
        try withFolder { folder in
            try SyntheticCheckpoint(shape: tinyShape).write(to: folder)
            let checkpoint = try openCheckpoint(folder)
            func moments(_ name: String) throws -> (mean: Double, deviation: Double, kurtosis: Double) {
                let tensor = try #require(try checkpoint.tensor(name))
                var values = [Float](repeating: 0, count: tensor.shape.count)
                values.withUnsafeMutableBufferPointer {
                    FloatConversion.widen(tensor, elements: 0..<tensor.shape.count, into: $0.baseAddress!)
                }
                let count = Double(values.count)
                let mean = values.reduce(0) { $0 + Double($1) } / count
                func moment(_ power: Double) -> Double {
                    values.reduce(0) { $0 + pow(abs(Double($1) - mean), power) } / count
                }
                return (mean, moment(2).squareRoot(), moment(4) / (moment(2) * moment(2)))
            }
            // 144,000 numbers: the standard errors are 0.00005, 0.00004 and 0.013.
            let table = try moments("output.weight")
            #expect(abs(table.mean) < 0.0003)
            #expect(abs(table.deviation - 0.02) < 0.0002)
            #expect(abs(table.kurtosis - 3) < 0.08)
            let norm = try moments("model.norm.weight")
            #expect(abs(norm.mean - 1) < 0.03)
            #expect(abs(norm.deviation - 0.05) < 0.02)
            // Chunks and tensors do not repeat each other.
            let head = try #require(try checkpoint.tensor("output.weight")).region.array
            let embeddings = try #require(try checkpoint.tensor("model.tok_embeddings.weight")).region.array
            #expect(head[..<1000] != embeddings[..<1000])
            #expect(head[..<1000] != head[131_072..<132_072])
        }
    }

    @Test func hasTheSizesOfTheSevenB() throws {
        let synthetic = try SyntheticCheckpoint()
        // InternLM2-7B has 7,737,708,544 parameters; one embedding row more, 1,207,959,552 in pairs, CLIP's vision
        // tower of 303,507,456, two projectors of 20,979,712 and tables of 155 rows.
        let expected = 7_737_708_544 + 4096 + 1_207_959_552 + 303_507_456 + 2 * 20_979_712 + 155 * 1024
        #expect(synthetic.parameterCount == expected)
        #expect(synthetic.byteCount == 2 * expected)
    }

    @Test func refusesWhatCannotBe() throws {
        var shape = tinyShape
        shape.keyValueHeadCount = 4
        #expect(throws: CrayonError.self) { try SyntheticCheckpoint(shape: shape) }
        try withFolder { folder in
            let synthetic = try SyntheticCheckpoint(shape: tinyShape)
            try synthetic.write(to: folder)
            let before = try contents(of: folder)
            #expect(throws: CrayonError.self) { try synthetic.write(to: folder) }
            #expect(try contents(of: folder) == before)
        }
    }
}
