/// What the threads of a pool look at: which loop there is, how many of them may still enter, and how many are in it.
///
/// It is one word, so that entering is one step: a thread that wakes up late finds the gate of its loop closed, or the gate of
/// another loop, and never touches a loop that is over.
struct LoopGate {
    /// From the top: the loop's number (32 bits), workers that it wants (16), workers inside (16).
    var word: UInt64

    init(word: UInt64) { self.word = word }

    /// The gate of the loop after this one, nobody inside yet.
    func next(wanting workers: Int) -> LoopGate {
        LoopGate(word: UInt64(number &+ 1) << 32 | UInt64(workers) << 16)
    }

    var number: UInt32 { UInt32(truncatingIfNeeded: word >> 32) }

    /// Workers below this index may enter; 0 once the gate is closed.
    var wanted: Int { Int(word >> 16 & 0xffff) }

    var inside: Int { Int(word & 0xffff) }

    /// The word with one worker more inside.
    var entered: UInt64 { word + 1 }

    /// Cleared by whoever closes the gate.
    static let wantedMask: UInt64 = 0xffff << 16

    static let mostWorkers = 0xffff
}
