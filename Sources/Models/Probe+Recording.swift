public import Architecture
public import Bytes
import Tensors

extension VisionLanguageModel {
    /// Runs a probe's input and compares the logits with the recorded ones.
    /// - Throws: `CrayonError` for an input that does not fit the model.
    public func compare(_ probe: Probe) throws(CrayonError) -> LogitComparison {
        let measured = try logits(probe.input, rows: probe.positions)
        let positions = probe.positions ?? Array(0..<measured.rows)
        return LogitComparison(
            measured: measured, reference: probe.logits,
            targets: probe.labels.map { LogitComparison.targets(labels: $0, positions: positions) })
    }

    /// Runs an input and keeps what comes out as a probe of this model.
    ///
    /// - Parameter mostPositions: of a longer sequence, the logits of this many positions are kept, spread
    ///   evenly and ending with the last, and of as many that labels score: all rows of a 7B model with a picture
    ///   would be half a gigabyte.
    public func record(_ probe: ProbeInput, mostPositions: Int = 32) throws(CrayonError) -> Probe {
        let tokens = probe.input.tokens
        let pictures = tokens.count { $0 == configuration.tokens.image }
        let total = tokens.count + pictures * ((configuration.vision?.patchCount ?? 1) - 1)
        var positions: [Int]?
        if total > mostPositions {
            let scored = (probe.labels ?? []).indices.dropFirst().filter { probe.labels?[$0] ?? -1 >= 0 }.map { $0 - 1 }
            positions = Set(
                Self.spread(mostPositions, over: Array(0..<total)) + Self.spread(mostPositions, over: scored)
            ).sorted()
        }
        return Probe(
            place: probe.name, input: probe.input, positions: positions,
            logits: try logits(probe.input, rows: positions), labels: probe.labels)
    }

    /// `count` elements at even steps, the last of them included; all where there are no more.
    private static func spread(_ count: Int, over elements: [Int]) -> [Int] {
        elements.count <= count ? elements : (1...count).map { elements[$0 * elements.count / count - 1] }
    }
}

/// What a probe asks, before the answer is known.
public struct ProbeInput: Sendable {
    public var name: String
    public var input: ModelInput
    /// One for each position of the sequence; `Probe.ignoredLabel` where none.
    public var labels: [Int]?

    public init(name: String, input: ModelInput, labels: [Int]? = nil) {
        self.name = name
        self.input = input
        self.labels = labels
    }
}

/// Inputs that need no data: made from the configuration alone, the same on every machine.
public enum BuiltInProbe {
    /// A short text, and for a model that sees, a picture with a crayon map and with an unknown one.
    public static func inputs(for configuration: ModelConfiguration) -> [ProbeInput] {
        var generator = SplitMix64(seed: 0x43_52_41_59_4F_4E)
        let vocabulary = configuration.backbone.vocabularySize
        func words(_ count: Int) -> [Int] {
            (0..<count).map { _ in Int(generator.next() % UInt64(vocabulary)) }
                .map { $0 == configuration.tokens.image ? 0 : $0 }
        }
        let begin = configuration.tokens.begin.map { [$0] } ?? []
        var inputs = [ProbeInput(name: "text", input: ModelInput(tokens: begin + words(24)))]
        guard let vision = configuration.vision, let placeholder = configuration.tokens.image else { return inputs }

        let size = vision.imageSize
        let pixels = picture(size: size, vision: vision, &generator)
        let plain = ImageInput(width: size, height: size, pixels: pixels)
        inputs.append(
            ProbeInput(name: "picture", input: ModelInput(tokens: begin + [placeholder] + words(12), images: [plain])))
        if let crayon = configuration.crayon {
            var painted = plain
            painted.crayon = grid(side: vision.gridSize, crayon: crayon)
            inputs.append(
                ProbeInput(
                    name: "crayon", input: ModelInput(tokens: begin + [placeholder] + words(12), images: [painted])))
        }
        return inputs
    }

    /// Smooth colours with some noise, in the range that normalised pictures have. `[3, size, size]`
    private static func picture(size: Int, vision: VisionConfiguration, _ generator: inout SplitMix64) -> [Float] {
        var pixels: [Float] = []
        pixels.reserveCapacity(3 * size * size)
        for channel in 0..<3 {
            for y in 0..<size {
                for x in 0..<size {
                    // Integers up to the last step, so that every machine has the same picture.
                    let ramp = (x * (channel + 1) + y * (3 - channel)) * 192 / (4 * size)
                    let level = min(255, ramp + Int(generator.next() >> 58))
                    pixels.append((Float(level) / 255 - vision.imageMean[channel]) / vision.imageStd[channel])
                }
            }
        }
        return pixels
    }

    /// Two classes side by side over an unknown ground.
    private static func grid(side: Int, crayon: CrayonConfiguration) -> CrayonGrid {
        var grid = CrayonGrid.unknown(side: side)
        for y in side / 4..<max(side / 4 + 1, side * 3 / 4) {
            for x in 0..<side {
                let isLeft = x < side / 2
                grid.semantic[y * side + x] = min(isLeft ? 1 : 2, crayon.semanticRows - 1)
                grid.numbering[y * side + x] = min(1, crayon.numberingRows - 1)
            }
        }
        return grid
    }
}
