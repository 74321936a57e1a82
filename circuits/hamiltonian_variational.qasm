// hamiltonian_variational: Evolution under the parts of an Ising or Heisenberg chain, one angle a part.
// Source: Wecker, Hastings and Troyer, arXiv:1507.08969
// Options: num_wires=4, depth=2, model=tfim, periodic=False
// Qubits (q[0] is the least significant): data q[0], q[1], q[2], q[3]; ancilla none
// Parameters in radians, as declared: 4 weights w_..., 0 inputs x_...
OPENQASM 3.0;
include "stdgates.inc";
input float[64] w_0000;
input float[64] w_0001;
input float[64] w_0002;
input float[64] w_0003;
gate rzz(p0) _gate_q_0, _gate_q_1 {
  cx _gate_q_0, _gate_q_1;
  rz(p0) _gate_q_1;
  cx _gate_q_0, _gate_q_1;
}
qubit[4] q;
h q[3];
h q[2];
h q[1];
h q[0];
rzz(w_0000) q[3], q[2];
rzz(w_0000) q[2], q[1];
rzz(w_0000) q[1], q[0];
rx(w_0001) q[3];
rx(w_0001) q[2];
rx(w_0001) q[1];
rx(w_0001) q[0];
rzz(w_0002) q[3], q[2];
rzz(w_0002) q[2], q[1];
rzz(w_0002) q[1], q[0];
rx(w_0003) q[3];
rx(w_0003) q[2];
rx(w_0003) q[1];
rx(w_0003) q[0];
