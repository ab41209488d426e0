extension Audit {
    /// The use of a locked resource.
    private struct Use {
        var worker: Int
        var task: UInt8
        var requested: UInt64
        var acquired: UInt64
        var released: UInt64
        var fence: UInt64
    }

    /// Checks that each resource had one user at a time, and that fencing tokens grew.
    func auditLocks(_ report: inout SoakReport) {
        var overlaps: [String] = []
        var explained = 0
        var fences: [String] = []
        let uses = lockUses()
        for (resource, unsorted) in uses {
            let uses = unsorted.sorted { $0.acquired < $1.acquired }
            for (one, other) in zip(uses, uses.dropFirst()) {
                // A holder that was stopped resumes without knowing that its lease has ended.
                let isPaused = [one, other].contains {
                    workers[$0.worker].pause(from: $0.requested, to: $0.released) > 0
                }
                if other.acquired < one.released {
                    if isPaused {
                        explained += 1
                    } else {
                        overlaps.append(
                            "resource \(resource): \(ledgers[one.worker].worker) and \(ledgers[other.worker].worker) at "
                                + "\(other.acquired), \((one.released - other.acquired) / 1_000_000) ms"
                        )
                    }
                }
                if other.fence <= one.fence, !isPaused {
                    fences.append("resource \(resource): \(other.fence) after \(one.fence)")
                }
            }
        }
        report.count("locks granted", uses.values.reduce(0) { $0 + $1.count })
        report.count("overlaps with a stopped holder", explained)
        report.check("other overlaps of a lock", overlaps)
        report.check("fencing tokens that went back", fences)
    }

    private func lockUses() -> [UInt64: [Use]] {
        var uses: [UInt64: [Use]] = [:]
        for (worker, ledger) in ledgers.enumerated() {
            /// The request and, once granted, the use of each task.
            var requests: [UInt8: UInt64] = [:]
            var open: [UInt8: (resource: UInt64, use: Use)] = [:]
            func close(_ task: UInt8, at time: UInt64) {
                guard var ended = open.removeValue(forKey: task) else { return }
                ended.use.released = time
                uses[ended.resource, default: []].append(ended.use)
            }
            var lastTime: UInt64 = 0
            for record in ledger.records {
                switch record.kind {
                case .started:
                    // Those of a process that was killed ended with its last entry at the earliest.
                    for task in open.keys { close(task, at: lastTime) }
                case .lockRequested: requests[record.code] = record.time
                case .lockAcquired:
                    let use = Use(
                        worker: worker,
                        task: record.code,
                        requested: requests[record.code] ?? record.time,
                        acquired: record.time,
                        released: .max,
                        fence: record.extra
                    )
                    open[record.code] = (record.number, use)
                case .lockReleased: close(record.code, at: record.time)
                default: break
                }
                lastTime = record.time
            }
            for task in open.keys { close(task, at: lastTime) }
        }
        return uses
    }

    /// Checks that every publish and every wait for a lock ended by its deadline.
    func auditDeadlines(_ report: inout SoakReport) {
        var late: [String] = []
        var longest: UInt64 = 0
        for (worker, ledger) in ledgers.enumerated() {
            var publishes: [UInt64: UInt64] = [:]
            var requests: [UInt8: UInt64] = [:]
            func check(_ began: UInt64?, _ record: LedgerRecord, _ limit: UInt64, _ name: String) {
                guard let began else { return }
                let time =
                    record.time - began - min(record.time - began, workers[worker].pause(from: began, to: record.time))
                if name == "publish" { longest = max(longest, time) }
                if time > (limit + 1) * Self.second {
                    late.append("\(ledger.worker): a \(name) took \(time / 1_000_000) ms")
                }
            }
            for record in ledger.records {
                switch record.kind {
                case .started:
                    publishes = [:]
                    requests = [:]
                case .attempted: publishes[record.number] = record.time
                case .confirmed, .unroutable, .refused, .unknown:
                    check(publishes.removeValue(forKey: record.number), record, limits.publish, "publish")
                case .lockRequested: requests[record.code] = record.time
                case .lockAcquired: check(requests.removeValue(forKey: record.code), record, limits.lock, "lock")
                case .lockFailed:
                    check(requests.removeValue(forKey: record.code), record, limits.lock, "lock")
                default: break
                }
            }
        }
        report.count("longest publish, ms", Int(longest / 1_000_000))
        report.check("calls past their deadline by more than a second", late)
    }
}
