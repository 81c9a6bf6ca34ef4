import Adapters
import Bytes
import Checkpoints
import Foundation
import JSON
import Tensors
import Testing

@Suite struct PEFTFolderTests {
    @Test func readsWhatPEFTWrites() throws {
        let samples = try Samples()
        #expect(samples.valid.count > 15)
        for (name, holds) in samples.valid {
            let adapter = try PEFTFolder.read(path: Samples.path(valid: name))
            #expect(adapter.name == name && adapter.baseName == "tiny/base", "\(name)")
            #expect(adapter.reasonAgainstMerging == nil, "\(name)")
            let expected = try holds.object("modules")
            #expect(Set(adapter.modules.map(\.path)) == Set(expected.object.names), "\(name)")
            for module in adapter.modules {
                let peft = try expected.object(module.path)
                #expect(module.rank == (try peft.int("rank")), "\(name): \(module.path)")
                #expect(module.scale == (try peft.double("scale")), "\(name): \(module.path)")
                #expect(module.kind.rawValue == (try peft.string("kind")), "\(name): \(module.path)")
                #expect(module.weightShape.dims == (try peft.ints("shape")), "\(name): \(module.path)")
                #expect((module.magnitude != nil) == (try peft.bool("dora")), "\(name): \(module.path)")
                #expect((module.bias != nil) == (try peft.bool("bias")), "\(name): \(module.path)")
            }
            #expect(adapter.replacements.map(\.name).sorted() == (try holds.strings("whole")), "\(name)")
        }
    }

    @Test func writesPEFTsBytesAgain() throws {
        let folder = try TemporaryFolder()
        for (name, _) in try Samples().valid {
            let source = Samples.path(valid: name)
            let copy = folder.file(name)
            try PEFTFolder.write(PEFTFolder.read(path: source), to: copy)
            let files = try FileManager.default.contentsOfDirectory(atPath: source).sorted()
            #expect(try FileManager.default.contentsOfDirectory(atPath: copy).sorted() == files, "\(name)")
            #expect(files.contains("README.md") == (name == "plain"), "\(name)")
            for file in files {
                #expect(
                    try MappedFile(path: "\(source)/\(file)").whole.array
                        == MappedFile(path: "\(copy)/\(file)").whole.array, "\(name)/\(file)")
            }
        }
    }

    /// What is made from pairs alone says the same of them as what peft wrote.
    @Test func madeFoldersSayTheSame() throws {
        let folder = try TemporaryFolder()
        for (name, _) in try Samples().valid {
            var adapter = try PEFTFolder.read(path: Samples.path(valid: name))
            adapter.files = []
            try PEFTFolder.write(adapter, to: folder.file(name))
            let again = try PEFTFolder.read(path: folder.file(name))
            try expectSame(again, adapter)
            #expect(again.baseName == "tiny/base", "\(name)")
            #expect(!FileManager.default.fileExists(atPath: folder.file(name) + "/README.md"), "\(name)")
        }
    }

    @Test func changedPairsGetAFileOfTheirOwn() throws {
        let folder = try TemporaryFolder()
        var adapter = try PEFTFolder.read(path: Samples.path(valid: "patterns"))
        adapter.modules[1].alpha = 11.5
        try PEFTFolder.write(adapter, to: folder.file("changed"), baseName: "other/base")
        let again = try PEFTFolder.read(path: folder.file("changed"))
        #expect(again.baseName == "other/base")
        try expectSame(again, adapter)
    }

    /// Two rules for the scale in one adapter are folded into alphas.
    @Test func mixedScalesAreFolded() throws {
        let folder = try TemporaryFolder()
        var adapter = try PEFTFolder.read(path: Samples.path(valid: "plain"))
        adapter.modules[0].isRankStabilized = true
        try PEFTFolder.write(adapter, to: folder.file("folded"))
        let again = try PEFTFolder.read(path: folder.file("folded"))
        for (left, right) in zip(again.modules, adapter.modules) {
            #expect(!left.isRankStabilized && abs(left.scale - right.scale) < 1e-15)
        }
    }

    @Test func refusesHostileFolders() throws {
        let samples = try Samples()
        let base = try openBase(path: Samples.base)
        #expect(samples.invalid.count > 35)
        for (name, text) in samples.invalid {
            let error = crayonError {
                try PEFTFolder.read(path: Samples.path(invalid: name)).check(against: base)
            }
            #expect(error?.description.contains(text) == true, "\(name): \(error?.description ?? "")")
            #expect(error?.description.contains(name) == true, "\(name): \(error?.description ?? "")")
            #expect(error?.expected != nil || name == "name-twice", "\(name)")
        }
    }

    @Test func nothingIsReplacedUnasked() throws {
        let folder = try TemporaryFolder()
        let adapter = try PEFTFolder.read(path: Samples.path(valid: "plain"))
        try PEFTFolder.write(adapter, to: folder.path)
        let error = crayonError { try PEFTFolder.write(adapter, to: folder.path) }
        #expect(error?.description.contains("already there") == true)
        try PEFTFolder.write(adapter, to: folder.path, overwrites: true)
    }

    /// The residual of a decomposition is a base that only the user can vouch for.
    @Test func decomposedPairsOverTheirResidual() throws {
        let adapter = try PEFTFolder.read(path: Samples.path(invalid: "pissa"), baseIsResidual: true)
        #expect(adapter.modules.count == 4)
    }
}

/// The same pairs and whole weights, bit for bit.
func expectSame(_ left: Adapter, _ right: Adapter, sourceLocation: SourceLocation = #_sourceLocation) throws {
    #expect(left.scope == right.scope && left.input == right.input, sourceLocation: sourceLocation)
    #expect(left.modules.map(\.path) == right.modules.map(\.path), sourceLocation: sourceLocation)
    for (a, b) in zip(left.modules, right.modules) {
        #expect(a.rank == b.rank && a.alpha == b.alpha && a.kind == b.kind, "\(a.path)", sourceLocation: sourceLocation)
        #expect(a.isRankStabilized == b.isRankStabilized && a.isTransposed == b.isTransposed, "\(a.path)")
        for (x, y) in [(a.a, b.a), (a.b, b.b)] {
            #expect(x.type == y.type && x.shape == y.shape, "\(a.path)", sourceLocation: sourceLocation)
            #expect(try x.tensor().region.array == y.tensor().region.array, "\(a.path)", sourceLocation: sourceLocation)
        }
        #expect(a.magnitude?.region.array == b.magnitude?.region.array, "\(a.path)", sourceLocation: sourceLocation)
        #expect(a.bias?.region.array == b.bias?.region.array, "\(a.path)", sourceLocation: sourceLocation)
    }
    #expect(left.replacements.map(\.name) == right.replacements.map(\.name), sourceLocation: sourceLocation)
    for (a, b) in zip(left.replacements, right.replacements) {
        #expect(a.tensor.region.array == b.tensor.region.array, "\(a.name)", sourceLocation: sourceLocation)
    }
}
