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

private func parsers(in folder: String) throws -> [String: any Parser] {
    let file = InputFile("\(folder)/input")
    return [
        "safetensors": Weights(file), "pytorch": Weights(file), "numpy": Weights(file), "gguf": Weights(file),
        "quantized": Weights(file), "bundle": Bundle(file), "json": JSONText(file), "plan": Plan(file),
        "picture": Picture(), "panoptic-map": PanopticPicture(), "segments": try Segments(file, folder: folder),
        "sentencepiece": SentencePiece(), "tokenizer-config": try TokenizerConfiguration(),
        "conversations": ConversationRecords(file), "text-lines": Lines(file),
        "coco": COCORecords(file, folder: folder),
        "peft": try AdapterFolder(folder: folder), "index": try ShardIndex(folder: folder),
        "config": try ModelFolder(folder: folder), "gguf-model": GGUFModel(file),
    ]
}

Parallel.threadCount = 1
// Memory: a folder there costs no disk, whatever the fuzzer writes.
let folder =
    "\(FileManager.default.fileExists(atPath: "/dev/shm") ? "/dev/shm" : NSTemporaryDirectory())/crayon-fuzz-\(getpid())"
try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
let known = try parsers(in: folder)
guard CommandLine.arguments.count > 1, let chosen = known[CommandLine.arguments[1]] else {
    print(known.keys.sorted().joined(separator: "\n"))
    try FileManager.default.removeItem(atPath: folder)
    exit(CommandLine.arguments.count > 1 ? 2 : 0)
}
parser = chosen
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
