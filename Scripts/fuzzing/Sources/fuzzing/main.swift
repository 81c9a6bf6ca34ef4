// libFuzzer over one parser: `fuzzing PARSER [libFuzzer's options] CORPUS…`.
import CrayonKit
import Foundation

/// libFuzzer's loop, called from a main of one's own.
@_silgen_name("LLVMFuzzerRunDriver")
private func runDriver(
    _ argc: UnsafeMutablePointer<Int32>,
    _ argv: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>,
    _ callback: @convention(c) (UnsafePointer<UInt8>?, Int) -> Int32
) -> Int32

nonisolated(unsafe) private var parser: (any Parser)?

/// What makes each parser. Only the chosen one is made, for several put files beside the input.
private func parsers(in folder: String) -> [String: () throws -> any Parser] {
    let input = "\(folder)/input"
    let weights = { Weights(InputFile(input)) }
    return [
        "safetensors": weights, "pytorch": weights, "numpy": weights, "gguf": weights, "quantized": weights,
        "bundle": { Bundle(InputFile(input)) },
        "json": { JSONText() },
        "plan": { Plan(InputFile(input)) },
        "picture": { Picture() },
        "panoptic-map": { PanopticPicture() },
        "segments": { try Segments(InputFile(input), folder: folder) },
        "sentencepiece": { SentencePiece() },
        "tokenizer-config": { try TokenizerConfiguration() },
        "tokenizer-json": { BytePair() },
        "conversations": { ConversationRecords(InputFile(input)) },
        "text-lines": { Lines(InputFile(input)) },
        "coco": { COCORecords(InputFile(input), folder: folder) },
        "peft": { try AdapterFolder(folder: folder) },
        "index": { try ShardIndex(folder: folder) },
        "config": { try ModelFolder(folder: folder) },
        "gguf-model": { GGUFModel(InputFile(input)) },
    ]
}

Parallel.threadCount = 1
// Memory: a folder there costs no disk, whatever the fuzzer writes.
let folder =
    "\(FileManager.default.fileExists(atPath: "/dev/shm") ? "/dev/shm" : NSTemporaryDirectory())/crayon-fuzz-\(getpid())"
try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
let known = parsers(in: folder)
guard CommandLine.arguments.count > 1, let make = known[CommandLine.arguments[1]] else {
    print(known.keys.sorted().joined(separator: "\n"))
    try FileManager.default.removeItem(atPath: folder)
    exit(CommandLine.arguments.count > 1 ? 2 : 0)
}
parser = try make()
atexit { try? FileManager.default.removeItem(atPath: folder) }

var arguments = ([CommandLine.arguments[0]] + CommandLine.arguments.dropFirst(2)).map { strdup($0) }
var count = Int32(arguments.count)
arguments.append(nil)
exit(
    arguments.withUnsafeMutableBufferPointer { buffer in
        var start = buffer.baseAddress!
        return runDriver(&count, &start) { bytes, count in
            parser?.take(UnsafeRawBufferPointer(start: bytes, count: count))
            return 0
        }
    })
