// pairwise_bell_stage: H on the first half of the wires, then CNOTs to their partners in the second.
// Source: Shah and Vatsa, arXiv:2411.15973, section 3.1
// Options: num_wires=4
// Qubits (q[0] is the least significant): data q[0], q[1], q[2], q[3]; ancilla none
// Parameters in radians, as declared: 0 weights w_..., 0 inputs x_...
OPENQASM 3.0;
include "stdgates.inc";
qubit[4] q;
h q[3];
h q[2];
cx q[3], q[1];
cx q[2], q[0];
