import EventBus

extension LockConformance {
    var inspection: [ConformanceCheck] {
        [
            inspectionCheck("a resource has a holder while it is held") { one, other, setup in
                try expect(try await other.holder(of: setup.resource) == nil, "a free resource has a holder")
                let grant = try await one.acquire(setup.resource, ttl: setup.long, wait: .zero)
                let seen = try await other.holder(of: setup.resource)
                guard let holder = seen else { throw ConformanceFailure("a held resource has no holder") }
                try expect(
                    holder.resource == setup.resource && holder.owner == grant.owner
                        && holder.fencingToken == grant.fencingToken && holder.waiters == 0 && !holder.process.isEmpty,
                    "the holder of \(grant) is \(holder)"
                )
                try expect(
                    holder.heldFor >= .zero && holder.heldFor < setup.long && holder.remaining > .zero
                        && holder.remaining <= setup.long,
                    "the holder has held it for \(holder.heldFor) and has \(holder.remaining) left"
                )
                try await one.release(grant)
                try expect(try await other.holder(of: setup.resource) == nil, "a released resource has a holder")
            },
            inspectionCheck("the holders are listed, however their resources are spelled, up to a limit") {
                one,
                other,
                setup in
                let name = setup.resource
                let names = [name, "\(name):l", "{\(name)}", "\(name) %41*?[", "\(name)e\u{301}", "\(name)\n"]
                for name in names { _ = try await one.acquire(name, ttl: setup.long, wait: .zero) }
                let listed = try await other.holders(limit: .max).map(\.resource)
                for name in names {
                    try expect(listed.count { ExactText($0) == ExactText(name) } == 1, "'\(name)' is not listed once")
                }
                try expect(try await other.holders(limit: 3).count == 3, "a limit of 3 is not respected")
            },
            inspectionCheck("forcing a resource open hands it to the next waiter and cancels the former holder's body")
            {
                one,
                other,
                setup in
                let entered = Gate()
                let former = Task {
                    try await one.withLock(setup.resource, ttl: setup.ttl) { lease in
                        entered.open()
                        try await Task.sleep(for: .seconds(60))
                    }
                }
                await entered.pass()
                let waiting = Task { try await other.acquire(setup.resource, ttl: setup.long, wait: .seconds(30)) }
                try await eventually("the waiter") { try await other.holder(of: setup.resource)?.waiters == 1 }
                let seen = try await other.holder(of: setup.resource)
                guard let holder = seen else { throw ConformanceFailure("a held resource has no holder") }
                try expect(try await other.forceRelease(holder), "it was not forced open")
                let grant = try await waiting.value
                try expect(grant.fencingToken > holder.fencingToken, "the token did not grow")
                try await expectError(.lockLost, .leaseExpired, from: "the former holder") { try await former.value }
                try expect(try await !one.forceRelease(holder), "a grant that has ended was ended again")
                try await setup.expectHeld(setup.resource, "by its new holder")
                try await other.release(grant)
            },
        ]
    }
}
