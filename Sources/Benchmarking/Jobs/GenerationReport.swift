import Architecture
import BundleFormat
public import Bytes
import Checkpoints
import Kernels
public import Layers
import Models

/// What `crayon bench` measures of one model; its JSON form, with keys in snake case, is what `--json` prints.
public struct GenerationReport: Codable, Sendable {
    public struct Test: Codable, Sendable {
        /// `pp512`: a prompt of 512 tokens; `tg32`: 32 tokens made one by one.
        public var name: String
        public var tokens: Int
        /// Of each repetition.
        public var seconds: [Double]
        /// Mean and standard deviation over the repetitions.
        public var tokensPerSecond: Double
        public var deviation: Double
        /// Of a decoding test: bytes of weights a second as a share of the read bandwidth.
        public var shareOfBandwidth: Double?
        /// Bytes asked of the allocator, and threads started, in what was timed, by all repetitions together; nil where nobody
        /// counts them.
        public var allocatedBytes: Int?
        public var startedThreads: Int?
    }

    /// As the user named it.
    public var model: String
    /// The layout, and the backbone's formats.
    public var kind: String
    public var bytes: Int
    public var parameters: Int
    public var threads: Int
    public var kernels: String
    /// What products with weights were computed in.
    public var arithmetic: String
    /// Bytes of weights that one token touches.
    public var weightBytesPerToken: Int
    /// Bytes that the machine reads from memory in a second: the higher of what was measured before the tests and after them.
    public var readBandwidth: Double
    public var tests: [Test]

    public struct Options: Sendable {
        public var prompt: Int
        public var generate: Int
        public var repetitions: Int
        public var arithmetic: Arithmetic

        /// - Parameters:
        ///   - prompt: tokens of the prompt; 0 leaves the test out.
        ///   - generate: tokens to make; 0 leaves the test out.
        public init(
            prompt: Int = 512, generate: Int = 32, repetitions: Int = 5, arithmetic: Arithmetic = .int16
        ) {
            precondition(prompt >= 0 && generate >= 0 && repetitions > 0)
            self.prompt = prompt
            self.generate = generate
            self.repetitions = repetitions
            self.arithmetic = arithmetic
        }
    }

    /// Opens a bundle or a checkpoint and times it on `Parallel.threadCount` threads.
    /// - Throws: `CrayonError` for a model that cannot be opened or run.
    public static func measure(_ path: String, options: Options = Options()) throws(CrayonError) -> GenerationReport {
        let summary = try ModelSummary(path: path)
        let source = try openModel(path: path)
        let threads = Parallel.threadCount
        let memory = CeilingProbe()
        let plan = TimingPlan(minimumSeconds: 0.5, maximumSeconds: 5)
        let before = memory.rates(of: .memoryRead, threads: [threads], plan: plan)[0]
        let model = try VisionLanguageModel(source: source, options: .init(arithmetic: options.arithmetic))
        try model.waitForWeights()
        let benchmark = GenerationBenchmark(model: model)
        let floor = try GenerationFloor(source)
        var report = GenerationReport(
            model: path,
            kind: ([source.configuration.layout]
                + (summary.parts.first { $0.name == "backbone" }?.formats.prefix(1) ?? []))
                .joined(separator: " "), bytes: summary.byteCount,
            parameters: summary.parts.reduce(0) { $0 + $1.parameterCount }, threads: threads,
            kernels: KernelVariant.active.rawValue,
            arithmetic: options.arithmetic.rawValue, weightBytesPerToken: floor.weightBytes, readBandwidth: before,
            tests: [])
        try benchmark.warmUp(prompt: options.prompt, generate: options.generate)
        if options.prompt > 0 {
            report.tests.append(
                try test("pp", options.prompt, options.repetitions) { (count) throws(CrayonError) in
                    (try benchmark.prompt(count), benchmark.counts)
                })
        }
        if options.generate > 0 {
            report.tests.append(
                try test("tg", options.generate, options.repetitions) { (count) throws(CrayonError) in
                    (try benchmark.generate(count), benchmark.counts)
                })
        }
        report.readBandwidth = max(before, memory.rates(of: .memoryRead, threads: [threads], plan: plan)[0])
        for index in report.tests.indices where report.tests[index].name.hasPrefix("tg") {
            report.tests[index].shareOfBandwidth =
                report.tests[index].tokensPerSecond * Double(floor.weightBytes) / report.readBandwidth
        }
        return report
    }

    private static func test(
        _ kind: String, _ tokens: Int, _ repetitions: Int,
        _ run: (Int) throws(CrayonError) -> (seconds: Double, asked: ProcessCounts?)
    ) throws(CrayonError) -> Test {
        var seconds: [Double] = []
        seconds.reserveCapacity(repetitions)
        var counts: ProcessCounts?
        for _ in 0..<repetitions {
            let (time, asked) = try run(tokens)
            seconds.append(time)
            if let asked {
                counts = ProcessCounts(
                    allocatedBytes: (counts?.allocatedBytes ?? 0) + asked.allocatedBytes,
                    startedThreads: (counts?.startedThreads ?? 0) + asked.startedThreads)
            }
        }
        let rates = seconds.map { Double(tokens) / $0 }
        let mean = rates.reduce(0, +) / Double(rates.count)
        let squares = rates.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
        return Test(
            name: "\(kind)\(tokens)", tokens: tokens, seconds: seconds, tokensPerSecond: mean,
            deviation: rates.count > 1 ? (squares / Double(rates.count - 1)).squareRoot() : 0,
            allocatedBytes: counts.map { Int($0.allocatedBytes) }, startedThreads: counts.map { Int($0.startedThreads) }
        )
    }
}
