import Foundation
import Testing

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// `kill -9` at any moment: under the output's name stands the old file or the new one, and the next run ends as if nothing had
/// happened. `Scripts/crashes` does it a hundred times for more jobs.
@Suite(.serialized) struct RandomKillTests {
    private func contents(_ path: String) -> [String: Data] {
        let names = (FileManager.default.enumerator(atPath: path)?.allObjects as? [String]) ?? []
        return (names.isEmpty ? [""] : names).reduce(into: [:]) { files, name in
            files[name] = FileManager.default.contents(atPath: name.isEmpty ? path : "\(path)/\(name)")
        }
    }

    @Test(arguments: ["quantize", "merge", "export"]) func oldOrNew(job: String) throws {
        let bundle = try SampleBundle.path.get()
        let adapter = "\(Repository.sample)/adapter"
        let words = [
            "quantize": ["quantize", Repository.checkpoint], "merge": ["adapter", "merge", bundle, adapter],
            "export": ["export", bundle, "--overwrite"],
        ]
        try withFolder { folder in
            let name = job == "export" ? "out" : "out.crayon"
            let output = "\(folder)/\(name)"
            let run = try #require(words[job]) + ["-o", output, "--quiet"]
            let start = ContinuousClock.now
            try #require(try Command(run).status == 0)
            let duration = (ContinuousClock.now - start).components
            let microseconds = Double(duration.seconds) * 1e6 + Double(duration.attoseconds) / 1e12
            let new = contents(output)
            for share in [0.2, 0.5, 0.8, 0.95] {
                for entry in try FileManager.default.contentsOfDirectory(atPath: folder) {
                    try FileManager.default.removeItem(atPath: "\(folder)/\(entry)")
                }
                let old = Data("what was there".utf8)
                if job != "export" { try old.write(to: URL(filePath: output)) }
                let process = try Command.start(run + (job == "merge" ? ["--resume"] : []))
                usleep(UInt32(microseconds * share))
                kill(process, SIGKILL)
                var status: Int32 = 0
                try #require(waitpid(process, &status, 0) == process)
                let found = contents(output)
                let isWhole = found == new || found == ["": old]
                // A folder comes into place file by file, its weights last.
                #expect(isWhole || job == "export" && found["model.safetensors"] == nil, "at \(share)")
                for entry in try FileManager.default.contentsOfDirectory(atPath: folder) where entry != name {
                    #expect(entry.hasPrefix(".\(name).crayon-"), "\(entry)")
                }
                let again = try Command(run + (job == "merge" ? ["--resume"] : []))
                #expect(again.status == 0, "\(again.errors)")
                #expect(contents(output) == new)
                #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == [name])
            }
        }
    }

    /// Killed after the new bundle came into place, before the record of it was gone: the file that the record speaks of is not
    /// there any more, and must not be made up.
    @Test func aRecordWithoutItsFileIsNotBelieved() throws {
        let bundle = try SampleBundle.path.get()
        try withFolder { folder in
            let output = "\(folder)/out.crayon"
            let run = ["adapter", "merge", bundle, "\(Repository.sample)/adapter", "-o", output, "--quiet"]
            try #require(try Command(run).status == 0)
            let whole = try Data(contentsOf: URL(filePath: output))
            let process = try Command.start(
                run + ["--resume"], environment: ["CRAYON_RECORD_BYTES": "1", "CRAYON_PAUSE_AFTER": "20"])
            let journal = "\(folder)/.out.crayon.crayon-resume/journal.jsonl"
            let deadline = Date.now + 30
            while (FileManager.default.contents(atPath: journal) ?? Data()).count(where: { $0 == 10 }) <= 20,
                Date.now < deadline
            { usleep(1000) }
            kill(process, SIGKILL)
            var status: Int32 = 0
            try #require(waitpid(process, &status, 0) == process)
            try FileManager.default.removeItem(atPath: "\(folder)/.out.crayon.crayon-resume/bundle")
            let again = try Command(run + ["--resume"])
            #expect(again.status == 0, "\(again.errors)")
            #expect(try Data(contentsOf: URL(filePath: output)) == whole)
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["out.crayon"])
        }
    }
}
