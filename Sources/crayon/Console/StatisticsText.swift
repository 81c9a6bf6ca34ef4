import CrayonKit
import Foundation

/// What `--stats` says of answers.
enum StatisticsText {
    static func answer(_ statistics: GenerationStatistics) -> String {
        String(
            format:
                "prompt %d positions (%d from the cache), embedding %.2f s, prefill %.1f/s; answer %d tokens, %.1f/s",
            statistics.promptPositions, statistics.reusedPositions, statistics.embeddingSeconds,
            statistics.prefillPositionsPerSecond, statistics.newTokens, statistics.decodingTokensPerSecond)
    }

    static func answers(_ statistics: GenerationStatistics) -> String {
        String(
            format:
                "%d answers: vision tower %d times, prompts %d positions (%d from the cache), prefill %.1f/s; "
                + "%d tokens in %d passes, %.1f/s",
            statistics.answers, statistics.towerRuns, statistics.promptPositions, statistics.reusedPositions,
            statistics.prefillPositionsPerSecond, statistics.newTokens, statistics.decodingSteps,
            statistics.decodingTokensPerSecond)
    }

    static func lookup(_ statistics: GenerationStatistics) -> String {
        "look-up: \(statistics.proposedTokens) tokens proposed, \(statistics.acceptedTokens) accepted; "
            + "\(statistics.decodingSteps) passes for \(statistics.decodedTokens) tokens"
    }
}
