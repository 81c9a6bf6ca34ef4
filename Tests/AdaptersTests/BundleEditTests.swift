import Adapters
import Architecture
import BundleFormat
import Bytes
import Checkpoints
import Foundation
import Tensors
import Testing

/// Sets put into a bundle, exchanged and taken out.
@Suite struct BundleEditTests {
    private let published = Samples.models + "/golden/collavo-tiny"

    private func edited(
        _ bundle: BundleReader, to path: String, _ change: (inout BundleRewrite) throws -> Void
    ) throws -> BundleReader {
        var rewrite = BundleRewrite(bundle)
        try change(&rewrite)
        try rewrite.write(to: path, step: BundleStep(kind: "edit", producer: "test"))
        return try BundleReader(path: path)
    }

    private func refused(
        _ bundle: BundleReader, sourceLocation: SourceLocation = #_sourceLocation,
        _ change: (inout BundleRewrite) throws -> Void
    ) -> String {
        var rewrite = BundleRewrite(bundle)
        return crayonError(sourceLocation: sourceLocation) { try change(&rewrite) }?.description ?? ""
    }

    @Test func addedAndRemovedAgain() throws {
        let folder = try TemporaryFolder()
        let base = try Merges.bundle(folder.file("base.crayon"), probes: [Merges.probe])
        let style = try openAdapter(Merges.style)
        let added = try edited(base, to: folder.file("added.crayon")) { try $0.add(style, as: "tone") }
        #expect(added.configuration.lowRankSets.map(\.name) == ["tone"] && added.probes.isEmpty)
        let moved = try openAdapter("\(added.place):tone")
        #expect(moved.modules.map(\.path) == style.modules.map(\.path))
        #expect(moved.modules.map(\.scale) == style.modules.map(\.scale))
        for (ours, theirs) in zip(moved.modules, style.modules) {
            #expect(try ours.a.tensor().region.array == theirs.a.tensor().region.array)
            #expect(try ours.b.tensor().region.array == theirs.b.tensor().region.array)
        }
        // The same model as one that was made with the set.
        let made = try Merges.bundle(folder.file("made.crayon"), adapters: [("tone", Merges.style)])
        #expect(try Merges.logits(added).values == Merges.logits(made).values)

        let again = try edited(added, to: folder.file("again.crayon")) { try $0.removeSet("tone") }
        #expect(again.configuration == base.configuration && again.files.map(\.name) == base.files.map(\.name))
        #expect(again.manifest.weights == base.manifest.weights && again.manifest.history.count == 3)
        for entry in base.manifest.weights {
            for component in entry.coding.components {
                let name = entry.name + component.suffix
                #expect(try #require(again.tensor(name)).region.array == base.tensor(name)?.region.array, "\(name)")
            }
        }
        for (ours, theirs) in zip(again.files, base.files) { #expect(ours.region.array == theirs.region.array) }
    }

    /// A set that acts only when asked to leaves the recorded answers as they are.
    @Test func idleSets() throws {
        let folder = try TemporaryFolder()
        let base = try Merges.bundle(folder.file("base.crayon"), probes: [Merges.probe])
        let style = try openAdapter(Merges.style)
        let idle = try edited(base, to: folder.file("idle.crayon")) {
            try $0.add(style, as: "tone", isActive: false)
        }
        #expect(idle.probes.count == 1 && idle.configuration.lowRankSets.map(\.isActive) == [false])
        #expect(try Merges.logits(idle).values == Merges.logits(base).values)
        var other = style
        other.modules.removeAll { !$0.path.hasSuffix("q_proj") }
        let exchanged = try edited(idle, to: folder.file("exchanged.crayon")) {
            try $0.replaceSet("tone", with: other)
        }
        let set = try #require(exchanged.configuration.lowRankSets.first)
        #expect(set.name == "tone" && set.modules == [.query] && !set.isActive)
        #expect(exchanged.manifest.weights.count { $0.part == .adapters } == 4)
    }

    @Test func namesAreHeld() throws {
        let folder = try TemporaryFolder()
        let bundle = try Merges.bundle(folder.file("base.crayon"), adapters: [("tone", Merges.style)])
        let style = try openAdapter(Merges.style)
        #expect(refused(bundle) { try $0.add(style, as: "tone") }.contains("set 'tone': a set of that name"))
        for name in ["", "a b", "a/b", "..", "a.b"] {
            #expect(refused(bundle) { try $0.add(style, as: name) }.contains("set name: '\(name)'"), "\(name)")
        }
        #expect(
            refused(bundle) { try $0.removeSet("vl") }.contains(
                "set 'vl': nothing of that name; expected one of 'tone'"))
        #expect(refused(bundle) { try $0.replaceSet("vl", with: style) }.contains("expected one of 'tone'"))
    }

    @Test func whatASetCannotHold() throws {
        let folder = try TemporaryFolder()
        let model = try CheckpointModel.open(CheckpointParts(backbone: Merges.fixture("bases/f32")))
        let bundle = try Merges.convert(model, to: folder.file("base.crayon"))
        for (name, item, reason) in [
            ("dora-f32", "module 'model.layers.0.", "a magnitude of DoRA"),
            ("pair-biases", "module 'model.layers.0.self_attn.", "a bias of a pair"),
            ("modules-to-save", "tensor 'base_model.model.lm_head.weight'", "a whole weight"),
            ("embeddings-and-head", "tensor 'base_model.model.", "a whole weight"),
        ] {
            let adapter = try openAdapter(Merges.fixture("\(name)/adapter"))
            let text = refused(bundle) { try $0.add(adapter, as: "tone") }
            #expect(text.contains(item) && text.contains(reason) && text.contains("crayon adapter merge"), "\(text)")
        }
        var table = try openAdapter(Merges.fixture("embeddings-and-head/adapter"))
        table.replacements = []
        #expect(refused(bundle) { try $0.add(table, as: "tone") }.contains("a module outside the backbone's blocks"))

        let llama = try Merges.bundle(folder.file("llama.crayon"))
        var partial = try openAdapter(Merges.style)
        partial.modules.removeAll { $0.path == "model.layers.1.mlp.down_proj" }
        let text = refused(llama) { try $0.add(partial, as: "tone") }
        #expect(text.contains("down of 1 of 2 layers") && text.contains("modules of every layer or of none"), "\(text)")
        let foreign = try openAdapter("\(published):image")
        #expect(refused(llama) { try $0.add(foreign, as: "tone") }.contains("no such module in the base"))
    }

    /// Pairs that act at image positions, or read the crayon prompt, do so in their new place.
    @Test func restrictedSetsMove() throws {
        let folder = try TemporaryFolder()
        let model = try CheckpointModel.open(CheckpointParts(checkpoint: published))
        let bundle = try Merges.convert(model, to: folder.file("base.crayon"))
        let without = try edited(bundle, to: folder.file("without.crayon")) { try $0.removeSet("image") }
        #expect(without.configuration.lowRankSets.map(\.name) == ["crayon"])
        let image = try openAdapter("\(bundle.place):image")
        let moved = try edited(without, to: folder.file("moved.crayon")) { try $0.add(image, as: "picture") }
        let set = try #require(moved.configuration.lowRankSets.first { $0.name == "picture" })
        #expect(set.scope == .image && set.input == .hidden && set.isActive)
        try expectSame(openAdapter("\(moved.place):picture"), openAdapter("\(published):image"))

        // The crayon prompt enters the backbone through the set that reads it.
        #expect(bundle.configuration.crayon?.entry == .lowRank)
        let text = refused(bundle) { try $0.removeSet("crayon") }
        #expect(text.contains("set 'crayon': the only set that reads the crayon prompt"))
        #expect(refused(bundle) { try $0.replaceSet("crayon", with: image) }.contains("the only set that reads"))
        var crayon = try openAdapter("\(bundle.place):crayon")
        for index in crayon.modules.indices { crayon.modules[index].alpha *= 2 }
        let exchanged = try edited(bundle, to: folder.file("exchanged.crayon")) {
            try $0.replaceSet("crayon", with: crayon)
        }
        let reads = try #require(exchanged.configuration.lowRankSets.first { $0.name == "crayon" })
        #expect(reads.input == .crayon && reads.isActive && exchanged.configuration.crayon?.entry == .lowRank)
        #expect(try openAdapter("\(exchanged.place):crayon").modules.map(\.alpha) == crayon.modules.map(\.alpha))
    }
}
