import Foundation
import Testing

/// 0 done or held, 1 something did not hold, 2 could not run; errors on standard error, naming file or option.
@Suite struct ExitCodeTests {
    @Test(arguments: [
        (["quantize"], "--output"),
        (["quantize", "-o", "m.crayon"], "Name one checkpoint"),
        (["quantize", "/nowhere", "-o", "m.crayon"], "/nowhere"),
        (["quantize", Repository.checkpoint, "-o", "/nowhere/m.crayon"], "/nowhere/m.crayon"),
        (
            ["quantize", Repository.checkpoint, "-o", "/nowhere/m.crayon", "--precision", "backbone=fp4"],
            "backbone=fp4"
        ),
        (["quantize", Repository.checkpoint, "-o", "/nowhere/m.crayon", "--block-size", "48"], "48"),
        (["quantize", Repository.checkpoint, "-o", "/nowhere/m.crayon", "--profile", "tiny"], "faithful"),
        (["inspect", "/nowhere.crayon"], "/nowhere.crayon"),
        (["verify", "/nowhere.crayon"], "/nowhere.crayon"),
        (["verify", Repository.checkpoint, "--probe", "/nowhere.safetensors"], "/nowhere.safetensors"),
        (["verify", Repository.checkpoint, "--tolerance=-1"], "--tolerance"),
        (["run", Repository.checkpoint, "--image", "/nowhere.png", "What?"], "/nowhere.png"),
        (["run", Repository.checkpoint, "--panoptic", "a.png", "What?"], "--segments"),
        (["run", Repository.checkpoint, "--temperature=-1", "What?"], "temperature"),
        (["run", Repository.checkpoint, "--template", "none", "What?"], "--template"),
        (["run", Repository.checkpoint, "--set", "none", "What?"], "none"),
        (["run", Repository.checkpoint, "--threads", "0", "What?"], "--threads"),
        (["run", "\(Repository.root.path)/Tests/Fixtures/models/llama", "What?"], "tokenizer.model"),
        (["export", "/nowhere.crayon", "-o", "out"], "/nowhere.crayon"),
        (["synthesize", "-o", "out", "--layers", "0"], "--layers"),
        (["sharpen"], "sharpen"),
    ])
    func couldNotRun(arguments: [String], named: String) throws {
        let found = try Command(arguments)
        #expect(found.status == 2 && !found.isSignalled, "\(found)")
        #expect(found.output.isEmpty)
        #expect(found.errors.contains(named), "\(found.errors)")
    }

    @Test func heldOrNot() throws {
        let bundle = try SampleBundle.path.get()
        let probe = Repository.probes[0]
        #expect(try Command("verify", bundle).status == 0)
        #expect(try Command("verify", bundle, "--probe", probe, "--tolerance", "0.2").status == 0)
        let strict = try Command("verify", bundle, "--probe", probe)
        #expect(strict.status == 1)
        #expect(strict.output.contains("FAIL probes") && strict.output.contains("Something did not hold."))
        // The checkpoint itself gives the logits that PyTorch recorded.
        #expect(try Command("verify", Repository.checkpoint, "--probe", probe, "--tolerance", "1e-5").status == 0)
    }

    @Test func aFlippedByteIsNamed() throws {
        try withFolder { folder in
            let damaged = "\(folder)/m.crayon"
            var bytes = try Data(contentsOf: URL(filePath: SampleBundle.path.get()))
            bytes[bytes.count / 2] ^= 1
            try bytes.write(to: URL(filePath: damaged))
            let found = try Command("verify", damaged)
            #expect(found.status == 1)
            #expect(found.output.contains(/FAIL digests.*\n    differs: \S+/), "\(found.output)")
        }
    }
}
