import Architecture
import Benchmarking
import Bytes
import Checkpoints
import Foundation
import Tensors
import Testing

/// What a token must touch, counted a second way.
@Suite struct GenerationFloorTests {
    private static let checkpoint = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "Scripts/sample/checkpoint").path

    @Test func weightsOfBlocksAndHead() throws {
        let source = try CheckpointModel.open(Self.checkpoint)
        let floor = try GenerationFloor(source)
        // The sample's pairs act at pictures alone.
        let touched = source.bindings.filter { $0.part == .backbone || $0.part == .head }
        #expect(touched.count > 30)
        #expect(floor.weightBytes == touched.reduce(0) { $0 + $1.entry.byteCount })
        #expect(floor.step.terms.map(\.amount) == [Double(floor.weightBytes)])
    }

    @Test func operationsOfAPrompt() throws {
        let source = try CheckpointModel.open(Self.checkpoint)
        let backbone = source.configuration.backbone
        let floor = try GenerationFloor(source)
        func operations(_ tokens: Int) -> Double { floor.prompt(tokens).terms[0].amount }
        let layer = backbone.modules.reduce(0) { $0 + backbone.extents(of: $1).out * backbone.extents(of: $1).in }
        let head = backbone.vocabularySize * backbone.hiddenSize
        let pair = 2 * backbone.headCount * backbone.headSize
        // Two operations for each product; token n sees n positions.
        #expect(operations(1) == Double(2 * (backbone.layerCount * (layer + pair) + head)))
        #expect(operations(3) == Double(2 * (backbone.layerCount * (3 * layer + 6 * pair) + head)))
    }
}
