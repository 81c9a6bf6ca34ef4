import Bytes
import Checkpoints
import JSON
import Tensors
import Testing

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

@Suite struct FolderTests {
    @Test func validSamples() throws {
        let samples = try Samples("index")
        #expect(!samples.valid.isEmpty)
        for (name, holds) in samples.valid {
            let path = samples.path(valid: name)
            let checkpoint = try openCheckpoint(path)
            let tensors = try holds.object("tensors")
            #expect(Set(checkpoint.names) == Set(tensors.object.names), "\(name)")
            for tensor in tensors.object.names {
                #expect(checkpoint.file(of: tensor) == "\(path)/" + (try tensors.string(tensor)), "\(name): \(tensor)")
                #expect(try checkpoint.tensor(tensor)?.region.count == 2, "\(name): \(tensor)")
            }
            let unindexed = try holds.strings("unindexed")
            #expect((checkpoint as? ShardedFolder)?.unindexed.map(\.name) ?? [] == unindexed, "\(name)")
            for tensor in unindexed { #expect(try checkpoint.tensor(tensor) == nil, "\(name): \(tensor)") }
        }
    }

    @Test func invalidSamples() throws {
        try Samples("index").expectErrors { _ = try openCheckpoint($0) }
    }

    /// Names that stay inside may still be links that do not.
    @Test func linksThatLeaveTheFolderAreRefused() throws {
        let samples = try Samples("index")
        let folder = TemporaryFolder()
        let inside = folder.folder("model")
        let sample = samples.path(valid: "two-shards")
        for name in ["model.safetensors.index.json", "model-00001-of-00002.safetensors"] {
            folder.write(try MappedFile(path: "\(sample)/\(name)").whole.array, "model/\(name)")
        }
        let shard = "model-00002-of-00002.safetensors"
        let outside = folder.write(try MappedFile(path: "\(sample)/\(shard)").whole.array, "outside.safetensors")

        #expect(symlink(outside, "\(inside)/\(shard)") == 0)
        let error = #expect(throws: CrayonError.self) { _ = try openCheckpoint(inside) }
        #expect(error?.place == "\(inside)/\(shard)" && error?.found.contains("leaves the folder") == true)

        // A link that stays is a file like any other; one to nothing is not the same as no file.
        unlink("\(inside)/\(shard)")
        rename(outside, "\(inside)/third.safetensors")
        #expect(symlink("third.safetensors", "\(inside)/\(shard)") == 0)
        #expect(try openCheckpoint(inside).names == ["a", "b", "c"])
        unlink("\(inside)/third.safetensors")
        let dangling = #expect(throws: CrayonError.self) { _ = try openCheckpoint(inside) }
        #expect(dangling?.code == .missing && dangling?.place == "\(inside)/\(shard)")
    }

    /// Hugging Face's cache: a snapshot is links into the blobs beside `snapshots`.
    @Test func linksIntoTheBlobsOfACacheAreFollowed() throws {
        let sample = try Samples("index").path(valid: "two-shards")
        let folder = TemporaryFolder()
        _ = folder.folder("blobs")
        _ = folder.folder("snapshots")
        let snapshot = folder.folder("snapshots/0123")
        for name in [
            "model.safetensors.index.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
        ] {
            folder.write(try MappedFile(path: "\(sample)/\(name)").whole.array, "blobs/\(name)")
            #expect(symlink("../../blobs/\(name)", "\(snapshot)/\(name)") == 0)
        }
        #expect(try openCheckpoint(snapshot).names == ["a", "b", "c"])
    }
}
