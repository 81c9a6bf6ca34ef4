#if os(Linux)
    import Foundation
    import Testing

    import Kernels

    @Suite struct AvailableCoresTests {
        /// Files below a folder of their own.
        private func cores(_ groups: String, _ files: [String: String]) throws -> Int? {
            let root = FileManager.default.temporaryDirectory.appending(path: "crayon-cores-\(UUID().uuidString)")
            defer { try? FileManager.default.removeItem(at: root) }
            for (name, text) in files {
                let file = root.appending(path: name)
                try FileManager.default.createDirectory(
                    at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
                try Data(text.utf8).write(to: file)
            }
            return AvailableCores.quotaCores(groups: groups, root: root.path)
        }

        @Test func unified() throws {
            #expect(try cores("0::/a/b\n", ["a/b/cpu.max": "150000 100000\n"]) == 2)
            #expect(try cores("0::/a/b\n", ["a/b/cpu.max": "max 100000\n"]) == nil)
            // The group above has less.
            #expect(try cores("0::/a/b\n", ["a/b/cpu.max": "800000 100000\n", "a/cpu.max": "50000 100000\n"]) == 1)
            #expect(try cores("0::/\n", ["cpu.max": "300000 100000\n"]) == 3)
        }

        @Test func apart() throws {
            let groups = "4:memory:/x\n1:cpu,cpuacct:/box\n0::/\n"
            let folder = "cpu,cpuacct/box"
            #expect(
                try cores(
                    groups, ["\(folder)/cpu.cfs_quota_us": "250000\n", "\(folder)/cpu.cfs_period_us": "100000\n"]) == 3)
            #expect(
                try cores(groups, ["\(folder)/cpu.cfs_quota_us": "-1\n", "\(folder)/cpu.cfs_period_us": "100000\n"])
                    == nil)
        }

        @Test(arguments: ["", "nonsense", "0::", "0::/../../etc\n", "1:cpu:/a"]) func nothingToFind(groups: String)
            throws
        {
            #expect(try cores(groups, [:]) == nil)
        }

        @Test(arguments: ["", "max", "0 0", "-5 100000", "nan 1", "1e300 1e-300", "100000"])
        func nonsenseIsNone(text: String) throws {
            #expect(try cores("0::/a\n", ["a/cpu.max": text]) == nil)
        }

        @Test func bound() {
            #expect(AvailableCores.boundCores(status: "Name:\tx\nCpus_allowed:\t3\nCpus_allowed_list:\t0-1\n") == 2)
            #expect(AvailableCores.boundCores(status: "Cpus_allowed:\tffffffff,00000001\n") == 33)
            #expect(AvailableCores.boundCores(status: "Cpus_allowed:\t0\n") == nil)
            #expect(AvailableCores.boundCores(status: "Cpus_allowed:\txyz\n") == nil)
            #expect(AvailableCores.boundCores(status: "") == nil)
        }

        @Test func atLeastOne() { #expect(AvailableCores.count >= 1) }
    }
#endif
