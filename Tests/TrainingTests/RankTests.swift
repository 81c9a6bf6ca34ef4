import Bytes
import Collectives
import Foundation
import JSON
import Tensors
import Testing
import Training

/// Several ranks end in the bytes that one process ends in.
@Suite struct RankTests {
    /// Trains the toy as one rank.
    static func train(
        _ ranks: any Communicator, plan: TrainingPlan = .toy, in folder: String, resumes: Bool = false,
        failsAfter: Int? = nil, failingRank: Int = 0, stopAfter: Int = 1_000_000,
        atUpdate: @escaping (Int) -> Void = { _ in }
    ) throws -> [UInt8] {
        // Other ranks hear from rank 0 what the weights are.
        let toy = Toy(seed: UInt64(1 + ranks.rank))
        toy.dropout = 0.1
        var asked = 0
        let run = TrainingRun(
            plan, updates: plan.updates(examplesPerEpoch: 100), folder: folder, resumes: resumes, communicator: ranks,
            shouldStop: {
                asked += 1
                atUpdate(asked * ranks.size / plan.batches)
                // One rank alone is told.
                return ranks.rank == ranks.size - 1 && asked * ranks.size > stopAfter * plan.batches
            })
        let hooks = TrainingHooks(
            evaluate: { update in JSONObject(["loss": .double(1 / Double(update + 1))]) },
            sample: { update in [JSONObject(["answer": "a"]), JSONObject(["answer": .int(update)])] })
        _ = try run.run(
            toy,
            batches: { (position: ToyBatches.Position?) throws(CrayonError) in
                var batches = ToyBatches(
                    from: position, batchSize: plan.batchSize, rank: ranks.rank, ranks: ranks.size)
                if ranks.rank == failingRank { batches.failsAfter = failsAfter }
                return batches
            }, hooks: hooks)
        return toy.bytes
    }

    @Test(arguments: [2, 4]) func sameBytes(size: Int) throws {
        let folder = try TestFolder()
        let plan = TrainingPlan.toy8bit
        try RunTests.train(folder, "whole", plan: plan)
        let (path, other) = (folder.file("ranks"), folder.file("parts"))
        let results = try LocalRanks.run(size) { try Self.train($0, plan: plan, in: path) }
        #expect(Set(results).count == 1)
        try RunTests.expectSame(folder, "whole", "ranks")
        // Stopped by a rank that was told to, and gone on with by one process less.
        _ = try LocalRanks.run(size) { try Self.train($0, plan: plan, in: other, stopAfter: 6) }
        #expect(try !folder.names("parts").contains("checkpoint-000012"))
        _ = try LocalRanks.run(size / 2) { try Self.train($0, plan: plan, in: other, resumes: true) }
        try RunTests.expectSame(folder, "whole", "parts")
    }

    @Test(arguments: [0, 1]) func failureOfARank(failing: Int) throws {
        let folder = try TestFolder()
        let path = folder.file("run")
        let messages = try LocalRanks.run(2) { ranks in
            do {
                _ = try Self.train(ranks, in: path, failsAfter: 13, failingRank: failing)
                return "none"
            } catch {
                return "\(error)"
            }
        }
        #expect(messages[failing] == "toy.json: a broken record")
        #expect(messages[1 - failing].hasPrefix("rank \(failing): an error there"))
        #expect(try folder.names("run").contains("checkpoint-000005"))
    }

    /// What rank 0 cannot write, all hear of.
    @Test func refusedFolder() throws {
        let messages = try LocalRanks.run(2) { ranks in
            do {
                _ = try Self.train(ranks, in: "/nowhere/run")
                return "none"
            } catch {
                return "\(error)"
            }
        }
        #expect(messages[0].hasPrefix("/nowhere/run: "))
        #expect(messages[1].hasPrefix("rank 0: /nowhere/run: "))
    }

    @Test func ranksThatDoNotDivide() throws {
        let folder = try TestFolder()
        let path = folder.file("run")
        let messages = try LocalRanks.run(3) { ranks in
            do {
                _ = try Self.train(ranks, in: path)
                return "none"
            } catch {
                return "\(error)"
            }
        }
        #expect(messages.allSatisfy { $0.hasPrefix("ranks: 3; expected a divisor of the 4 batches of an update") })
    }
}
