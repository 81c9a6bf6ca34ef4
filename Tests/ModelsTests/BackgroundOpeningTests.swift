import Architecture
import Bytes
import Checkpoints
import Foundation
import Models
import Quantization
import Synchronization
import Tensors
import Testing

/// A source whose matrices come in pieces, each of which asks before it is made.
struct DeferringSource: ModelSource {
    let base: any ModelSource
    let hook: Hook
    var place: String { base.place }
    var configuration: ModelConfiguration { base.configuration }
    var files: [AuxiliaryFile] { base.files }

    /// What has been begun, what is held back, and what fails.
    final class Hook: Sendable {
        private let held = Mutex<Set<Role>>([])
        let log = Log()
        let failing: Set<Role>

        init(holding: Set<Role> = [], failing: Set<Role> = []) {
            self.failing = failing
            held.withLock { $0 = holding }
        }

        var begun: [Role] { log.roles.withLock { $0 } }

        func release() { held.withLock { $0 = [] } }

        func begin(_ role: Role) {
            log.roles.withLock { $0.append(role) }
            while held.withLock({ $0.contains(role) }) { usleep(200) }
        }
    }

    /// Outlives the hook.
    final class Log: Sendable {
        let roles = Mutex<[Role]>([])
    }

    static let error = CrayonError(.malformed, in: "a file", item: "a weight", found: "damage")

    func weight(_ role: Role) throws(CrayonError) -> StoredWeight? { try base.weight(role) }

    func deferredWeight(_ role: Role) throws(CrayonError) -> DeferredTensor? {
        guard case .dense(let tensor)? = try base.weight(role), tensor.shape.rank > 1 else { return nil }
        let target = ByteBuffer(uninitialized: tensor.region.count)
        target.pointer.initializeMemory(as: UInt8.self, repeating: 0xff, count: target.count)
        let (size, width) = (tensor.shape.count / 4 + 1, tensor.type.byteCount)
        let hook = hook
        return DeferredTensor(
            tensor: Tensor(name: tensor.name, type: tensor.type, shape: tensor.shape, region: target.region),
            pieceElements: size
        ) { (piece) throws(CrayonError) in
            hook.begin(role)
            if hook.failing.contains(role) { throw Self.error }
            let run = piece * size * width..<min((piece + 1) * size, tensor.shape.count) * width
            (target.pointer + run.lowerBound).copyMemory(
                from: tensor.region.baseAddress + run.lowerBound, byteCount: run.count)
        }
    }
}

/// Models that are in use before all of their weights are there. What is held back stays so until a test lets it go: nothing here
/// depends on time.
@Suite struct BackgroundOpeningTests {
    private func opened(
        _ name: String = "collavo-grouped", _ hook: DeferringSource.Hook
    ) throws -> (model: VisionLanguageModel, input: ModelInput) {
        let test = try #require(Case.all.first { $0.name == name })
        let source = DeferringSource(base: try test.open(), hook: hook)
        let probe = try Probe(SafetensorsFile(path: Fixtures.path(test.probes[0].file)), for: source.configuration)
        return (try VisionLanguageModel(source: source), probe.input)
    }

    private func reference(_ name: String = "collavo-grouped") throws -> VisionLanguageModel {
        try VisionLanguageModel(source: try #require(Case.all.first { $0.name == name }).open())
    }

    @Test(arguments: ["collavo-grouped", "golden", "llama", "qwen2-window"]) func sameBits(_ name: String) throws {
        let reference = try reference(name)
        let (model, input) = try opened(name, .init())
        #expect(try model.logits(input).values == reference.logits(input).values)
        // Another, of which a single step is the first that is asked.
        let second = try opened(name, .init()).model
        let (one, other) = (second.makeState(), reference.makeState())
        #expect(try second.step(token: 7, state: one).values == reference.step(token: 7, state: other).values)
        #expect(
            try second.steps([([5, 9], one)], batch: second.makeBatch()).values
                == reference.steps([([5, 9], other)], batch: reference.makeBatch()).values)
    }

    /// A picture is seen and embedded while nothing behind it can come; the rest follows when it is let go.
    @Test func theFirstWeightsAreOfUseBeforeTheLastAreThere() throws {
        let reference = try reference()
        let late = Set(
            reference.configuration.parameters.filter { [.head, .backbone, .adapters].contains($0.part) }.map(\.role))
        let hook = DeferringSource.Hook(holding: late)
        let (model, input) = try opened("collavo-grouped", hook)
        let picture = try #require(input.images.first)
        #expect(try model.visionFeatures(of: picture).values == reference.visionFeatures(of: picture).values)
        let prompt = try model.embed(input)
        #expect(prompt.hidden.values == (try reference.embed(input)).hidden.values)
        #expect(!hook.begun.contains(.head))
        hook.release()
        let expected = try reference.prefill(reference.embed(input), state: reference.makeState())
        #expect(try model.prefill(prompt, state: model.makeState()).values == expected.values)
    }

    /// Text needs nothing of what sees pictures.
    @Test func textDoesNotWaitForTheTower() throws {
        let reference = try reference()
        let tower = Set(
            reference.configuration.parameters.filter { [.vision, .projectors, .crayon].contains($0.part) }.map(\.role))
        let hook = DeferringSource.Hook(holding: tower)
        let model = try opened("collavo-grouped", hook).model
        let input = ModelInput(tokens: [4, 5, 6])
        #expect(try model.logits(input).values == reference.logits(input).values)
        hook.release()
    }

    /// The tower first, then the pairs layer by layer, the head, and the embeddings last; and every piece once.
    @Test func weightsComeInTheOrderOfTheirUse() throws {
        let hook = DeferringSource.Hook()
        let model = try opened("collavo-grouped", hook).model
        let deferred = model.configuration.parameters.filter { $0.isMatrix }.count
        try model.waitForWeights()
        let begun = hook.begun
        let counts = Dictionary(begun.map { ($0, 1) }, uniquingKeysWith: +)
        #expect(counts.values.allSatisfy { $0 <= 4 } && counts.count <= deferred && counts[.head] == 4)
        func place(_ part: Part, first: Bool = true) throws -> Int {
            let roles = Set(model.configuration.parameters.filter { $0.part == part }.map(\.role))
            return try #require(
                first ? begun.firstIndex(where: roles.contains) : begun.lastIndex(where: roles.contains))
        }
        #expect(try place(.vision) < place(.adapters))
        #expect(try place(.adapters) < place(.head))
        #expect(try place(.head) < place(.embeddings, first: false))
    }

    /// What cannot be unpacked is an error of those who need it, each time, and of nobody else.
    @Test func damageIsAnErrorOfThePassesThatNeedIt() throws {
        let tower = Role.patchEmbedding
        let (model, input) = try opened("collavo-grouped", .init(failing: [tower]))
        _ = try model.logits(ModelInput(tokens: [4, 5, 6]))
        for _ in 0..<2 {
            #expect(throws: DeferringSource.error) { _ = try model.embed(input) }
        }
        #expect(throws: DeferringSource.error) { _ = try model.visionFeatures(of: input.images[0]) }
        #expect(throws: DeferringSource.error) { try model.waitForWeights() }

        let headless = try opened("collavo-grouped", .init(failing: [.head])).model
        let (state, batch) = (headless.makeState(), headless.makeBatch())
        let prompt = try headless.embed(input)
        #expect(throws: DeferringSource.error) { _ = try headless.prefill(prompt, state: state) }
        #expect(throws: DeferringSource.error) { _ = try headless.step(token: 3, state: state) }
        #expect(throws: DeferringSource.error) { _ = try headless.steps([([3], state)], batch: batch) }
        #expect(throws: DeferringSource.error) { _ = try headless.logits(ModelInput(tokens: [1])) }

        let wordless = try opened("collavo-grouped", .init(failing: [.tokenEmbeddings])).model
        #expect(throws: DeferringSource.error) { _ = try wordless.embed(ModelInput(tokens: [1])) }
    }

    /// A model that is gone has nothing unpacked any more but what was begun, one piece for each thread; and nobody keeps it.
    @Test func aDroppedModelStops() throws {
        let roles = Set(try reference().configuration.parameters.map(\.role))
        var hook: DeferringSource.Hook? = DeferringSource.Hook(holding: roles)
        weak let gone = hook
        let log = try #require(hook).log
        var model: VisionLanguageModel? = try opened("collavo-grouped", #require(hook)).model
        while log.roles.withLock({ $0.isEmpty }) { usleep(200) }
        #expect(model != nil)
        model = nil
        hook?.release()
        hook = nil
        // The last who knows the pieces lets go of them.
        while gone != nil { usleep(200) }
        // Tests beside this one may have set up to eight threads.
        #expect(log.roles.withLock { $0.count } <= 4)
    }
}
