import Inference
import Testing

@Suite struct StopMatcherTests {
    /// Feeds the pieces, and gives back what came out at each, at the end, and whether it stopped.
    func run(_ stops: [String], _ pieces: [String]) -> (out: [String], rest: String, stopped: Bool) {
        var matcher = StopMatcher(stops)
        let out = pieces.map { matcher.append($0) }
        return (out, matcher.finish(), matcher.hasStopped)
    }

    @Test func straddlesPieces() {
        let result = run(["<stop>"], ["Yes.<", "st", "op", ">\n", "more"])
        #expect(result.out == ["Yes.", "", "", "", ""])
        #expect(result.rest.isEmpty)
        #expect(result.stopped)
    }

    @Test func falseAlarmIsLetThrough() {
        let result = run(["<stop>"], ["a <st", "ar> b <", "s"])
        #expect(result.out == ["a ", "<star> b ", ""])
        #expect(result.rest == "<s")
        #expect(!result.stopped)
    }

    @Test func earliestOfSeveral() {
        #expect(run(["END", "\n\n"], ["one\n", "\nEND"]).out.joined() == "one")
        // Complete first, however the text is cut.
        #expect(run(["bc", "abcd"], ["xabcd"]).out == ["xa"])
        #expect(run(["bc", "abcd"], ["x", "a", "b", "c", "d"]).out.joined() == "xa")
    }

    @Test func repeatedBeginning() {
        // After "aa" a third "a" must not lose the match that began at the second.
        let result = run(["aab"], ["a", "a", "a", "b", "c"])
        #expect(result.out.joined() == "a")
        #expect(result.stopped)
    }

    @Test func manyByteCharacters() {
        let result = run(["。終"], ["はい。", "終わり"])
        #expect(result.out == ["はい", ""])
        #expect(result.stopped)
        #expect(run(["。終"], ["はい。", "次"]).out == ["はい", "。次"])
    }

    @Test func withoutStopsNothingIsHeld() {
        #expect(run([""], ["a", "b"]).out == ["a", "b"])
        #expect(run([], ["a", "b"]).out == ["a", "b"])
    }
}
